"""A Hugging Face hub, its servers for large files, and a Python package index, on loopback ports of this process.

It answers as the real ones do, as far as a download goes: the list of files in pages, HEAD with X-Repo-Commit,
X-Linked-Etag and X-Linked-Size and a redirect to another host, Range, the errors for what is missing, gated or asked
too often. test_hub.py lets the official client pass against it before ours does. Faults are switched on by a test:
hub.faults is a list of functions (server, handler) -> bool that may answer a request themselves.
"""

import hashlib
import http.server
import json
import re
import threading
import time
import urllib.parse


class Entry:
    """A file of a repository. large: kept by the other server, named by its SHA-256."""

    def __init__(self, data, large=True):
        self.data, self.large = data, large
        self.sha256 = hashlib.sha256(data).hexdigest()
        self.git_id = hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()
        self.etag = self.sha256 if large else self.git_id

    def listed(self, path):
        # of a large file the oid is that of its pointer
        entry = {"type": "file", "oid": hashlib.sha1(self.etag.encode()).hexdigest() if self.large else self.git_id,
                 "size": len(self.data), "path": path}
        if self.large:
            entry["lfs"] = {"oid": self.sha256, "size": len(self.data), "pointerSize": 134}
        return entry


class Repo:
    def __init__(self):
        self.refs, self.commits = {}, {}
        self.gated = False
        self.private = False

    def commit(self, files, branch="main"):
        """Makes files ({path: Entry}) the newest version of branch; returns the commit."""
        text = json.dumps([[path, entry.etag] for path, entry in sorted(files.items())] + [len(self.commits)])
        commit = hashlib.sha1(text.encode()).hexdigest()
        self.commits[commit] = dict(files)
        self.refs[branch] = commit
        return commit

    def resolve(self, revision):
        return self.refs.get(revision, revision if revision in self.commits else None)


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *args):
        pass

    def handle_one_request(self):
        try:
            super().handle_one_request()
        except (ConnectionError, BrokenPipeError):
            self.close_connection = True

    def answer(self, code, body=b"", headers=(), content_type="application/json"):
        self.send_response(code)
        for name, value in headers:
            self.send_header(name, value)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def do_GET(self):
        hub = self.server.hub
        record = {"server": self.server.role, "method": self.command, "path": self.path, "sent": 0,
                  "auth": self.headers.get("Authorization"), "range": self.headers.get("Range"),
                  "agent": self.headers.get("User-Agent", "")}
        with hub.guard:
            hub.requests.append(record)
        self.record = record
        for fault in list(hub.faults):
            if fault(self.server.role, self):
                return
        getattr(hub, "serve_" + self.server.role)(self)

    do_HEAD = do_POST = do_GET


class FakeHub:
    """serve() or `with` starts it. endpoint and index are the addresses to configure."""

    page = 1000  # files a page of the list

    def __init__(self):
        self.repos, self.packages, self.blobs = {}, {}, {}
        self.requests, self.faults = [], []
        self.guard = threading.Lock()
        self.token = "hf_right"
        self.html_index = False
        self.chunk = 64 * 1024
        self.chunk_pause = 0.0

    def __enter__(self):
        self.servers = {}
        for role in ("hub", "cdn", "pypi"):
            server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
            server.daemon_threads = True
            server.hub, server.role = self, role
            threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
            self.servers[role] = server
        self.endpoint, self.cdn, index = ("http://127.0.0.1:%d" % self.servers[role].server_port
                                          for role in ("hub", "cdn", "pypi"))
        self.index = index + "/simple"
        return self

    def __exit__(self, *args):
        for server in self.servers.values():
            server.shutdown()
            server.server_close()

    def repo(self, name):
        return self.repos.setdefault(name, Repo())

    # ---- what was asked for

    def of(self, server, method=None):
        return [r for r in self.requests if r["server"] == server and method in (None, r["method"])]

    def bytes_sent(self, server="cdn"):
        return sum(r["sent"] for r in self.of(server))

    def forget(self):
        del self.requests[:]

    # ---- the hub

    def refuse(self, handler, code, error, message):
        handler.answer(code, json.dumps({"error": message}).encode(),
                       [("X-Error-Code", error), ("X-Error-Message", message)])

    def authorised(self, handler):
        return handler.headers.get("Authorization") == "Bearer " + self.token

    def find_repo(self, handler, name, contents):
        """The repository, or None after an answer. The list of a gated one is public, its files are not."""
        repo = self.repos.get(name)
        has_token = handler.headers.get("Authorization") is not None
        if has_token and not self.authorised(handler) and handler.headers["Authorization"] != "Bearer hf_other":
            handler.answer(401, b"{}", [("X-Error-Message", "Invalid credentials in Authorization header")])
        elif repo is None or (repo.private and not self.authorised(handler)):
            self.refuse(handler, 404 if has_token else 401, "RepoNotFound", "Repository not found")
        elif contents and repo.gated and not self.authorised(handler):
            self.refuse(handler, 403 if has_token else 401, "GatedRepo",
                        "Access to model %s is restricted and you are not in the authorized list." % name)
        else:
            return repo
        return None

    def serve_hub(self, handler):
        path, _, query = handler.path.partition("?")
        moved = re.fullmatch(r"(.*/)old-name(/.*)", path)
        if moved:
            handler.answer(307, headers=[("Location", moved[1] + "new-name" + moved[2] + ("?" + query) * bool(query))])
            return
        info = re.fullmatch(r"/api/models/([^/]+/[^/]+)(?:/revision/(.+))?", path)
        tree = re.fullmatch(r"/api/models/([^/]+/[^/]+)/tree/([^/]+)(?:/(.*))?", path)
        file = re.fullmatch(r"/([^/]+/[^/]+)/resolve/([^/]+)/(.+)", path)
        if tree:
            self.serve_tree(handler, tree, urllib.parse.parse_qs(query))
        elif info:
            self.serve_info(handler, info)
        elif file:
            self.serve_file(handler, file)
        else:
            handler.answer(404, b"{}")

    def find_files(self, handler, name, revision, contents):
        """(commit, files), or None after an answer."""
        repo = self.find_repo(handler, name, contents)
        if repo is None:
            return None
        revision = urllib.parse.unquote(revision)
        commit = repo.resolve(revision)
        if commit is None:
            self.refuse(handler, 404, "RevisionNotFound", "Invalid rev id: " + revision)
            return None
        return commit, repo.commits[commit]

    def serve_info(self, handler, match):
        found = self.find_files(handler, match[1], match[2] or "main", False)
        if found:
            commit, files = found
            handler.answer(200, json.dumps({"id": match[1], "modelId": match[1], "sha": commit, "private": False,
                                            "siblings": [{"rfilename": path} for path in sorted(files)]}).encode())

    def serve_tree(self, handler, match, query):
        found = self.find_files(handler, match[1], match[2], False)
        if not found:
            return
        folder = urllib.parse.unquote(match[3] or "")
        prefix = folder + "/" if folder else ""
        entries, folders = [], set()
        for path, entry in sorted(found[1].items()):
            if not path.startswith(prefix):
                continue
            deeper = path[len(prefix):].split("/")[:-1]
            folders.update(prefix + "/".join(deeper[:i + 1]) for i in range(len(deeper)))
            entries.append(entry.listed(path))
        recursive = query.get("recursive", ["false"])[0].lower() in ("true", "1")
        if not recursive:
            entries = [e for e in entries if "/" not in e["path"][len(prefix):]]
            folders = {f for f in folders if "/" not in f[len(prefix):]}
        entries += [{"type": "directory", "oid": "0" * 40, "size": 0, "path": f} for f in sorted(folders)]
        start = int(query.get("cursor", ["0"])[0])
        headers = []
        if start + self.page < len(entries):
            headers.append(("Link", '<%s%s?recursive=%s&cursor=%d>; rel="next"' % (
                self.endpoint, handler.path.partition("?")[0], str(recursive).lower(), start + self.page)))
        handler.answer(200, json.dumps(entries[start:start + self.page]).encode(), headers)

    def serve_file(self, handler, match):
        found = self.find_files(handler, match[1], match[2], True)
        if not found:
            return
        commit, files = found
        path = urllib.parse.unquote(match[3])
        if path not in files:
            handler.answer(404, b"Entry not found", [("X-Error-Code", "EntryNotFound"),
                                                     ("X-Error-Message", "Entry not found"),
                                                     ("X-Repo-Commit", commit)], "text/plain")
            return
        entry = files[path]
        headers = [("X-Repo-Commit", commit), ("Accept-Ranges", "bytes")]
        if entry.large:
            self.blobs[entry.sha256] = entry.data
            handler.answer(302, b"", headers + [
                ("X-Linked-Etag", '"%s"' % entry.etag), ("X-Linked-Size", str(len(entry.data))),
                ("X-Xet-Hash", "f" * 64), ("ETag", '"%s"' % entry.git_id),
                ("Location", "%s/%s?X-Amz-Signature=secret" % (self.cdn, entry.sha256))])
        else:
            self.send_data(handler, entry.data, headers + [("ETag", '"%s"' % entry.etag)])

    # ---- the servers for large files

    def serve_cdn(self, handler):
        path = handler.path.partition("?")[0]
        data = self.blobs.get(path[1:])
        if handler.headers.get("Authorization") or data is None or "Signature=secret" not in handler.path:
            handler.answer(400, b"")
        else:
            self.send_data(handler, data, [("ETag", '"multipart-2"')])

    def send_data(self, handler, data, headers=(), declared=None, cut=None):
        """declared: the length announced; cut: the connection ends after so many bytes of this answer."""
        start = 0
        asked = re.fullmatch(r"bytes=(\d+)-", handler.headers.get("Range") or "")
        if asked:
            start = int(asked[1])
        if start >= len(data) and asked:
            handler.answer(416, b"", [("Content-Range", "bytes */%d" % len(data))])
            return
        handler.send_response(206 if asked else 200)
        for name, value in headers:
            handler.send_header(name, value)
        if asked:
            handler.send_header("Content-Range", "bytes %d-%d/%d" % (start, len(data) - 1, len(data)))
        handler.send_header("Content-Length", str((len(data) if declared is None else declared) - start))
        handler.end_headers()
        if handler.command == "HEAD":
            return
        end = len(data) if cut is None else min(len(data), start + cut)
        for at in range(start, end, self.chunk):
            piece = data[at:min(at + self.chunk, end)]
            handler.wfile.write(piece)
            handler.record["sent"] += len(piece)
            if self.chunk_pause:
                time.sleep(self.chunk_pause)
        if end < len(data):
            handler.wfile.flush()
            handler.close_connection = True
            handler.connection.shutdown(2)

    # ---- the package index

    def publish(self, package, filename, data, sha256=None, size=True, yanked=False):
        digest = hashlib.sha256(data).hexdigest() if sha256 is None else sha256
        self.packages.setdefault(package, []).append(
            {"filename": filename, "data": data, "sha256": digest, "size": size, "yanked": yanked})

    def serve_pypi(self, handler):
        path = urllib.parse.unquote(handler.path.partition("?")[0])
        page = re.fullmatch(r"/simple/([^/]+)/", path)
        file = re.fullmatch(r"/files/([^/]+)/([^/]+)", path)
        if page and page[1] in self.packages:
            files = self.packages[page[1]]
            if self.html_index or "json" not in (handler.headers.get("Accept") or ""):
                self.serve_html(handler, page[1], files)
            else:
                self.serve_json(handler, page[1], files)
        elif file and file[1] in self.packages:
            data = [f["data"] for f in self.packages[file[1]] if f["filename"] == file[2]]
            self.send_data(handler, data[0]) if data else handler.answer(404)
        else:
            handler.answer(404, b"404 Not Found", content_type="text/plain")

    def serve_json(self, handler, package, files):
        listed = []
        for f in files:
            entry = {"filename": f["filename"], "url": "../../files/%s/%s" % (package, f["filename"]),
                     "hashes": {"sha256": f["sha256"]} if f["sha256"] else {}, "requires-python": None,
                     "yanked": f["yanked"], "core-metadata": False}
            if f["size"]:
                entry["size"] = len(f["data"])
            listed.append(entry)
        body = {"meta": {"api-version": "1.1"}, "name": package, "files": listed}
        handler.answer(200, json.dumps(body).encode(), content_type="application/vnd.pypi.simple.v1+json")

    def serve_html(self, handler, package, files):
        lines = ["<!DOCTYPE html><html><head><title>Links</title></head><body>"]
        for f in files:
            fragment = "#sha256=" + f["sha256"] if f["sha256"] else ""
            lines.append('<a href="../../files/%s/%s%s" data-requires-python="&gt;=3.8"%s>%s</a><br/>' % (
                package, f["filename"], fragment, ' data-yanked=""' if f["yanked"] else "", f["filename"]))
        handler.answer(200, "\n".join(lines + ["</body></html>"]).encode(), content_type="text/html")
