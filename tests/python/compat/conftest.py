"""The tests of what llama-cpp-python's programs find in puna."""
