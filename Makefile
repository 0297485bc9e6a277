# Forwards to CMake and the scripts, for people who have a toolchain.
all:
	@scripts/build.sh

run: export PROMPT
run:
	@if [ -n "$$PROMPT" ]; then ./quickstart "$$PROMPT"; else ./quickstart; fi

test:
	@./run-tests

clean:
	rm -rf build/release build/dev build/run-tests

.PHONY: all run test clean
