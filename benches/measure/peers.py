"""The proxies that Staleguard is compared with, and Staleguard as one of them."""

import socket
import time

from . import build, packages
from .processes import Failed, tree
from .rig import Proxy

PROGRAMS = {"nginx": "nginx", "haproxy": "haproxy", "wrk": "wrk", "h2load": "nghttp2-client", "setpriv": "util-linux"}


def free_address():
    """An address on loopback that nobody has."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return f"127.0.0.1:{listener.getsockname()[1]}"


def wait_for(process, address):
    """Waits until somebody listens there."""
    host, port = address.split(":")
    until = time.monotonic() + 10
    while True:
        try:
            socket.create_connection((host, int(port)), 1).close()
            return
        except OSError:
            if process.poll() is not None or time.monotonic() > until:
                raise Failed(f"nobody listens at {address}") from None
            time.sleep(0.01)


class Peer:
    """One that is measured: where it is asked, and which processes it is made of."""

    def __init__(self, name, address, root, process, address2=None):
        self.name, self.address, self.root, self.process = name, address, root, process
        # Where it speaks HTTP/2 without TLS.
        self.address2 = address2 or address

    def pids(self):
        """Its processes."""
        return tree(self.root)


def configured(processes, name, source, upstream):
    """A configuration with everything filled in: its file and both addresses."""
    text = (build.BENCHES / "peers" / source).read_text()
    addresses = free_address(), free_address()
    values = {"FOLDER": processes.folder, "UPSTREAM": upstream, "LISTEN": addresses[0], "LISTEN2": addresses[1]}
    for key, value in values.items():
        text = text.replace(f"@{key}@", str(value))
    file = processes.folder / f"{name}.conf"
    file.write_text(text)
    return file, *addresses


def nginx(processes, cpus, upstream):
    """Starts nginx."""
    file, address, address2 = configured(processes, "nginx", "nginx.conf", upstream)
    command = [
        packages.path_of("nginx"),
        "-c",
        file,
        "-p",
        processes.folder,
        "-e",
        processes.folder / "nginx-error.log",
    ]
    return _started(processes, cpus, "nginx", command, address, address2)


def haproxy(processes, cpus, upstream):
    """Starts HAProxy."""
    file, address, address2 = configured(processes, "haproxy", "haproxy.cfg", upstream)
    command = [packages.path_of("haproxy"), "-db", "-f", file]
    return _started(processes, cpus, "haproxy", command, address, address2)


def _started(processes, cpus, name, command, address, address2):
    with (processes.folder / f"{name}.log").open("w") as log:
        process = processes.start(command, cpus, stdout=log, stderr=log)
    try:
        wait_for(process, address)
    except Failed as failed:
        raise Failed(f"{failed}: {(processes.folder / f'{name}.log').read_text()[-1000:]}") from None
    return Peer(name, address, process.pid, process, address2)


def staleguard(processes, cpus, upstream, name="staleguard", **how):
    """Starts Staleguard."""
    proxy = Proxy(processes, cpus, upstream, name=name, **how)
    return Peer(name, proxy.address, proxy.pid, proxy.process)
