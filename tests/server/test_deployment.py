"""What users copy from examples/server, at work: nginx in front, the systemd unit, jobs of Slurm.

The files are used as they are, with addresses and paths of this test in place of those of their users. Where nginx,
systemd-analyze or Slurm is not installed the tests are skipped; in CI they must be there.
"""

import contextlib
import http.client
import json
import os
import re
import secrets
import shutil
import signal
import socket
import ssl
import subprocess
import time

import pytest
import serving

EXAMPLES = serving.ROOT / "examples/server"
KEY = "key-of-the-deployment-tests"
HOST = "chat.example.org"
# enough positions for an answer that does not end by itself while a test looks at it
LONG = ("-c", 100000, "--kv-size", 200000)


def need(*programs):
    missing = [name for name in programs if not find(name)]
    if missing and os.environ.get("CI") == "true":
        pytest.fail("not installed: " + ", ".join(missing))
    if missing:
        pytest.skip("not installed: " + ", ".join(missing))


def find(program):
    return shutil.which(program, path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin:/usr/local/sbin")


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def replace(text, *pairs):
    """text with every first of a pair replaced by its second; each must be there."""
    for old, new in pairs:
        assert old in text, old
        text = text.replace(old, str(new))
    return text


def wait_for(condition, what, seconds=20):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        value = condition()
        if value:
            return value
        time.sleep(0.02)
    pytest.fail("not within %g s: %s" % (seconds, what() if callable(what) else what))


def chat(max_tokens, **fields):
    return {"messages": [{"role": "user", "content": "hello"}], "max_tokens": max_tokens, "seed": 1, **fields}


class Running(serving.Server):
    """A server that somebody else started."""

    def __init__(self, port, key=None, process=None):
        self.port, self.key = port, key
        self.process = process or subprocess.Popen(["sleep", "60"])
        self.wait_until_ready()
        if not process:
            self.kill()

    def log(self):
        return ""


# ---- nginx -----------------------------------------------------------------------------------------------------


class Proxy:
    """nginx with the shipped file, in front of a server."""

    def __init__(self, folder, server, *pairs):
        self.server = server
        self.port, self.plain_port = free_port(), free_port()
        self.folder = folder
        self.certificate = folder / "certificate.pem"
        subprocess.run(
            ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days",
             "1", "-subj", "/CN=" + HOST, "-addext", "subjectAltName=DNS:" + HOST, "-keyout",
             str(folder / "key.pem"), "-out", str(self.certificate)],
            check=True, capture_output=True)
        site = replace(
            (EXAMPLES / "nginx.conf").read_text(), ("127.0.0.1:8080", "127.0.0.1:%d" % server.port),
            ("listen 443 ssl;", "listen 127.0.0.1:%d ssl;" % self.port),
            ("listen 80;", "listen 127.0.0.1:%d;" % self.plain_port),
            ("/etc/letsencrypt/live/%s/fullchain.pem" % HOST, self.certificate),
            ("/etc/letsencrypt/live/%s/privkey.pem" % HOST, folder / "key.pem"), *pairs)
        (folder / "puna.conf").write_text(site)
        temporary = "".join("%s_temp_path %s/%s;\n" % (name, folder, name)
                            for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
        (folder / "nginx.conf").write_text(
            "daemon off;\nmaster_process off;\npid %s/pid;\nerror_log %s/error.log info;\nevents {}\n"
            "http {\naccess_log off;\n%sinclude %s/puna.conf;\n}\n" % (folder, folder, temporary, folder))
        command = [find("nginx"), "-p", str(folder), "-e", str(folder / "error.log"), "-c", str(folder / "nginx.conf")]
        checked = subprocess.run([*command, "-t"], capture_output=True, text=True)
        assert checked.returncode == 0 and "warn" not in checked.stderr, checked.stderr
        self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL)
        wait_for(self.answers, lambda: (folder / "error.log").read_text())

    def answers(self):
        with contextlib.suppress(OSError):
            socket.create_connection(("127.0.0.1", self.port)).close()
            return True
        return self.process.poll() is not None

    def stop(self):
        self.process.terminate()
        self.process.wait(20)

    def connect(self):
        """A connection by TLS, with the certificate verified for the name."""
        context = ssl.create_default_context(cafile=str(self.certificate))
        raw = socket.create_connection(("127.0.0.1", self.port), timeout=serving.PATIENCE)
        connection = http.client.HTTPConnection(HOST)
        connection.sock = context.wrap_socket(raw, server_hostname=HOST)
        return connection

    def send(self, method, path, body=None, **headers):
        """A connection of its own, with the request sent."""
        connection = self.connect()
        headers.setdefault("Authorization", "Bearer " + KEY)
        connection.request(method, path, json.dumps(body) if body is not None else None,
                           {"Content-Type": "application/json", **headers})
        return connection

    def ask(self, method, path, body=None, **headers):
        """The response, not read yet."""
        connection = self.send(method, path, body, **headers)
        response = connection.getresponse()
        response.connection = connection  # lives as long as the response
        return response

    def leave(self, response):
        response.connection.sock.close()
        response.close()


def events(response):
    """The data of a stream's events as they come; comments are left out."""
    while True:
        line = response.fp.readline() if not response.chunked else response.readline()
        if not line:
            return
        if line.startswith(b"data: "):
            yield line[6:].strip().decode()


@pytest.fixture
def start_proxy(tiny_model, tmp_path, start_server):
    need("nginx", "openssl")
    running = []

    def start(*options, pairs=()):
        server = start_server("--api-key", KEY, "--allowed-host", HOST, *options)
        server.key = KEY
        running.append(Proxy(tmp_path, server, *pairs))
        return running[-1]

    yield start
    for one in running:
        one.stop()


def test_nginx(start_proxy):
    """The page, an answer, who may ask; streams arrive while they are written, and end when their reader leaves."""
    proxy = start_proxy(*LONG)
    assert proxy.ask("GET", "/").status == 200
    assert proxy.ask("GET", "/v1/models").status == 200
    assert proxy.ask("GET", "/v1/models", Authorization="Bearer wrong").status == 401
    assert proxy.ask("GET", "/metrics").status == 200
    own = proxy.ask("POST", "/v1/chat/completions", chat(4), Origin="https://" + HOST)
    assert own.status == 200 and json.loads(own.read())["choices"][0]["finish_reason"] == "length"
    foreign = proxy.ask("POST", "/v1/chat/completions", chat(4), Origin="https://elsewhere.example")
    assert foreign.status == 403
    plain = http.client.HTTPConnection("127.0.0.1", proxy.plain_port)
    plain.request("GET", "/v1/models", headers={"Host": HOST})
    moved = plain.getresponse()
    assert moved.status == 301 and moved.getheader("Location") == "https://%s/v1/models" % HOST

    stream = proxy.ask("POST", "/v1/chat/completions", chat(90000, stream=True, ignore_eos=True))
    assert stream.status == 200 and stream.getheader("Content-Type").startswith("text/event-stream")
    arriving = events(stream)
    for _ in range(20):
        assert json.loads(next(arriving))["object"] == "chat.completion.chunk"
    assert len(proxy.server.busy()) == 1  # pieces are here while the rest is being written
    proxy.leave(stream)
    assert proxy.server.wait_idle(5) is not None, "the client left, and its request went on"

    whole = proxy.send("POST", "/v1/chat/completions", chat(90000, ignore_eos=True))  # nothing is written to it yet
    wait_for(proxy.server.busy, "the request is there")
    whole.sock.close()
    assert proxy.server.wait_idle(5) is not None, "the client left, and its request went on"


def test_nginx_waits_for_a_long_silence(start_proxy):
    """A stream from which nothing comes for longer than nginx waits: pings keep it open."""
    proxy = start_proxy(*LONG, "-np", 1, "--sse-ping-interval", 0.5, pairs=[("proxy_read_timeout 30m;",
                                                                             "proxy_read_timeout 2s;")])
    first = proxy.ask("POST", "/v1/chat/completions", chat(90000, stream=True, ignore_eos=True))
    next(events(first))
    second = proxy.ask("POST", "/v1/chat/completions", chat(4, stream=True))
    time.sleep(3)
    assert len(proxy.server.busy()) == 2
    proxy.leave(first)
    texts = list(events(second))
    assert texts[-1] == "[DONE]" and json.loads(texts[-2])["choices"][0]["finish_reason"] == "length"


# ---- systemd ---------------------------------------------------------------------------------------------------


def test_systemd_unit(tmp_path, tiny_model):
    """systemd accepts the unit and calls it well protected; the command in it starts a server that the keys open."""
    unit = replace((EXAMPLES / "puna.service").read_text(), ("/usr/local/bin/puna", serving.PUNA),
                   ("/srv/puna/model.gguf", tiny_model))
    path = tmp_path / "puna.service"
    path.write_text(unit)
    command = re.search("^ExecStart=(.*)$", unit, re.M).group(1)
    (tmp_path / "keys").write_text(KEY)
    command = replace(command, ("${CREDENTIALS_DIRECTORY}", tmp_path)).split()
    port_file = tmp_path / "port"
    # nothing in the environment, and none of the files that a home folder has
    process = subprocess.Popen([*command, "--port", "0", "--port-file", str(port_file), "-t", "1"], env={}, cwd="/",
                               stderr=subprocess.PIPE)
    try:
        wait_for(port_file.exists, "the port")
        server = Running(int(port_file.read_text()), KEY, process)
        assert server.get("/v1/models").status == 200
        server.key = None
        assert server.get("/v1/models").status == 401
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0 and not port_file.exists()
    finally:
        process.kill()
        process.communicate()

    need("systemd-analyze")
    checked = subprocess.run(["systemd-analyze", "verify", str(path)], capture_output=True, text=True)
    assert checked.returncode == 0 and not checked.stderr, checked.stderr
    rated = subprocess.run(["systemd-analyze", "security", "--offline=true", "--threshold=20", str(path)],
                           capture_output=True, text=True)
    if "unrecognized option" not in rated.stderr:
        assert rated.returncode == 0, rated.stdout[-2000:] + rated.stderr


# ---- Slurm -----------------------------------------------------------------------------------------------------


class Cluster:
    """A cluster of one node, this machine: munged, slurmctld and slurmd with all their files in a folder."""

    def __init__(self, folder):
        self.folder = folder
        self.home = folder / "home"
        self.processes = []
        for name in ("run", "state", "spool", "home", "bin"):
            (folder / name).mkdir()
        os.symlink(serving.PUNA, folder / "bin/puna")
        name = socket.gethostname().split(".")[0]
        user = subprocess.run(["id", "-un"], capture_output=True, text=True).stdout.strip()
        (folder / "munge.key").write_bytes(secrets.token_bytes(128))
        (folder / "munge.key").chmod(0o600)
        # eight processors and as much memory as the examples ask for, whatever there is
        (folder / "slurm.conf").write_text("""
ClusterName=test
SlurmctldHost={name}(127.0.0.1)
SlurmctldPort={controller}
SlurmdPort={node}
AuthType=auth/munge
AuthInfo=socket={folder}/run/munge
CredType=cred/munge
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
MpiDefault=none
SlurmUser={user}
SlurmdUser={user}
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/run/slurmctld.pid
SlurmdPidFile={folder}/run/slurmd.pid
SlurmdParameters=config_overrides
ReturnToService=2
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
SchedulerParameters=sched_min_interval=0,batch_sched_delay=0
KillWait=5
NodeName={name} NodeAddr=127.0.0.1 CPUs=16 RealMemory=64000
PartitionName=main Nodes=ALL Default=YES MaxTime=INFINITE State=UP
""".format(name=name, user=user, folder=folder, controller=free_port(), node=free_port()))
        self.env = {k: v for k, v in os.environ.items() if not k.startswith(("PUNA_", "SLURM", "SBATCH"))}
        self.env.update(SLURM_CONF=str(folder / "slurm.conf"), HOME=str(self.home),
                        PATH="%s/bin:%s:/usr/sbin:/sbin" % (folder, os.environ["PATH"]))
        try:
            # forced: the folders of tests are closed to others, which it would warn of
            self._start("munged", "--foreground", "--force", "--key-file=%s/munge.key" % folder,
                        "--socket=%s/run/munge" % folder, "--pid-file=%s/run/munge.pid" % folder,
                        "--seed-file=%s/run/munge.seed" % folder, "--log-file=%s/munged.file" % folder)
            wait_for((folder / "run/munge").exists, self.logs)
            self._start("slurmctld", "-D", "-i")
            self._start("slurmd", "-D", "-N", name)
            wait_for(lambda: self.run("sinfo", "-h", "-o", "%T", check=False) == "idle", self.logs)
        except BaseException:
            self.stop()
            raise

    def _start(self, *command):
        with open(self.folder / (command[0] + ".log"), "wb") as log:
            self.processes.append(subprocess.Popen(command, env=self.env, stdin=subprocess.DEVNULL, stdout=log,
                                                   stderr=log))

    def stop(self):
        for process in reversed(self.processes):
            process.terminate()
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()

    def logs(self):
        return "\n".join("%s:\n%s" % (path.name, path.read_text("utf-8", "replace")[-2000:])
                         for path in [*self.folder.glob("*.log"), *self.home.glob("*.log")])

    def run(self, *command, check=True, env=None):
        done = subprocess.run(command, env={**self.env, **(env or {})}, cwd=self.home, capture_output=True, text=True)
        assert not check or done.returncode == 0, done.stderr + self.logs()
        return done.stdout.strip()

    def submit(self, script, *options, **env):
        return self.run("sbatch", "--parsable", *options, str(EXAMPLES / script), env=env)

    def state(self, job):
        return re.findall(r"JobState=(\w+)", self.run("scontrol", "show", "job", job))

    def wait_until_over(self, job):
        return wait_for(lambda: not {"PENDING", "RUNNING", "COMPLETING"} & set(self.state(job)) and self.state(job),
                        self.logs)


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    need("munged", "slurmctld", "slurmd", "sbatch")
    one = Cluster(tmp_path_factory.mktemp("slurm"))
    yield one
    one.stop()


def test_slurm_job(cluster, tiny_model):
    job = cluster.submit("puna.sbatch", PUNA_MODEL=str(tiny_model), PUNA_CHAT_TEMPLATE="chatml")
    port_file = cluster.home / ("puna-%s.port" % job)
    log = cluster.home / ("puna-%s.log" % job)
    wait_for(port_file.exists, cluster.logs)
    key_file = cluster.home / ".puna-key"
    for path in (key_file, port_file):
        assert path.stat().st_mode & 0o077 == 0, path  # nobody else's to read
    server = Running(int(port_file.read_text()))
    assert server.post("/v1/chat/completions", chat(4)).status == 401
    server.key = key_file.read_text().strip()
    answer = server.post("/v1/chat/completions", chat(4))
    assert answer.status == 200 and answer.json()["usage"]["completion_tokens"] == 4
    text = log.read_text()
    assert server.key not in text
    tunnel = re.search(r"ssh -N -L (\d+):(\S+):(\d+) (\S+)$", text, re.M)
    assert tunnel and int(tunnel.group(1)) == int(tunnel.group(3)) == server.port, text
    assert tunnel.group(2) == cluster.run("squeue", "-h", "-j", job, "-o", "%N")

    # the signal that --signal=B:TERM sends before the time is over
    cluster.run("scancel", "--batch", "--signal=TERM", job)
    assert cluster.wait_until_over(job) == ["COMPLETED"]
    assert not port_file.exists()


def test_slurm_array(cluster, tiny_model):
    """Requests in two parts, cut as the file says; what is answered is left alone by the next run."""
    lines = [json.dumps({"custom_id": "q%d" % i, "body": chat(3 + i)}) for i in range(5)]
    (cluster.home / "requests.jsonl").write_text("".join(line + "\n" for line in lines))
    split, = re.findall("^#   (split .*)$", (EXAMPLES / "batch-array.sbatch").read_text(), re.M)
    cluster.run("sh", "-c", split.replace("l/16", "l/2"))
    for turn in range(2):
        job = cluster.submit("batch-array.sbatch", "--array=0-1", PUNA_MODEL=str(tiny_model),
                             PUNA_CHAT_TEMPLATE="chatml")
        assert cluster.wait_until_over(job) == ["COMPLETED", "COMPLETED"], cluster.logs()
        text = "".join((cluster.home / ("answers.00%d.jsonl" % part)).read_text() for part in range(2))
        answers = {one["custom_id"]: one["response"]["body"] for one in map(json.loads, text.splitlines())}
        assert {name: one["usage"]["completion_tokens"] for name, one in answers.items()} == {
            "q%d" % i: 3 + i for i in range(5)}
        assert len(text.splitlines()) == 5, turn

    # as at the end of its time: what is done is kept, the log says how to go on
    with open(cluster.home / "part.000.jsonl", "a") as part:
        part.write(json.dumps({"custom_id": "short", "body": chat(3)}) + "\n")
        part.write(json.dumps({"custom_id": "long", "body": chat(90000, ignore_eos=True)}) + "\n")
    job = cluster.submit("batch-array.sbatch", "--array=0", PUNA_MODEL=str(tiny_model), PUNA_CHAT_TEMPLATE="chatml",
                         PUNA_CTX_SIZE="100000")
    answers = cluster.home / "answers.000.jsonl"
    wait_for(lambda: '"short"' in answers.read_text(), cluster.logs)
    cluster.run("scancel", "--batch", "--signal=INT", job + "_0")
    assert cluster.wait_until_over(job) == ["FAILED"]
    assert "ExitCode=130:0" in cluster.run("scontrol", "show", "job", job)
    assert "--resume" in (cluster.home / ("puna-batch-%s_0.log" % job)).read_text()
    assert {json.loads(line)["custom_id"] for line in answers.read_text().splitlines()} >= {"short"}
