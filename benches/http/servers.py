"""The processes: started pinned to a core, their CPU time read, stopped."""

import os
import socket
import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path

HERE = Path(__file__).parent
SERVER_CORE, LOAD_CORE = 0, 1
TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")


@dataclass
class Server:
    """A running server with all its processes. `ports` are its listeners by what is asked of them."""

    name: str
    process: subprocess.Popen
    ports: dict[str, int] = field(default_factory=dict)

    def cpu_seconds(self) -> tuple[float, float]:
        """User and system time of all its processes, those that ended included."""
        user, system = 0, 0
        for position, pid in enumerate([self.process.pid, *children(self.process.pid)]):
            fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
            user, system = user + int(fields[11]), system + int(fields[12])
            if position == 0:
                user, system = user + int(fields[13]), system + int(fields[14])
        return user / TICKS_PER_SECOND, system / TICKS_PER_SECOND

    def stop(self) -> None:
        self.process.terminate()
        try:
            self.process.wait(5)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


def children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def free_ports(names: list[str]) -> dict[str, int]:
    """Ports that are free at this moment, all held open until each is known."""
    held = [socket.create_server(("127.0.0.1", 0)) for _ in names]
    ports = {name: one.getsockname()[1] for name, one in zip(names, held, strict=True)}
    for one in held:
        one.close()
    return ports


def filled(template: str, values: dict[str, object]) -> str:
    text = (HERE / template).read_text()
    for name, value in values.items():
        text = text.replace(f"@{name}@", str(value))
    return text


def start_nginx(name: str, core: int, values: dict[str, object]) -> Server:
    user = "user root;" if os.geteuid() == 0 else ""
    own = {**values, "NAME": name, "USER": user}
    folder = Path(str(values["FOLDER"]))
    configuration = folder / f"{name}.conf"
    configuration.write_text(filled("common.conf", own) + filled(f"{name}.conf", own))
    log = folder / f"{name}.log"
    command = ["nginx", "-p", str(folder), "-c", str(configuration), "-e", str(log)]
    return start(name, core, command, folder)


def start_edge(name: str, binary: Path, values: dict[str, object]) -> Server:
    folder = Path(str(values["FOLDER"]))
    configuration = folder / f"{name}.toml"
    configuration.write_text(filled("edge.toml", values))
    return start(name, SERVER_CORE, [str(binary), "serve", "--config", str(configuration)], folder)


def start(name: str, core: int, command: list[str], folder: Path) -> Server:
    with (folder / f"{name}.out").open("wb") as out:
        pinned = ["taskset", "-c", str(core), *command]
        return Server(name, subprocess.Popen(pinned, stdout=out, stderr=subprocess.STDOUT))


def await_listening(server: Server, folder: Path) -> None:
    for port in server.ports.values():
        for _ in range(200):
            if server.process.poll() is not None:
                said = [file.read_text() for file in folder.glob(f"{server.name}.[ol]*")]
                raise SystemExit(f"{server.name} ended at its start:\n{''.join(said)}")
            try:
                socket.create_connection(("127.0.0.1", port), 1).close()
                break
            except OSError:
                time.sleep(0.05)
        else:
            raise SystemExit(f"{server.name} does not listen on port {port}")
