"""A service org.scx.Loader that does what scx_loader does, with a directory in the place of the kernel's sched_ext.

A program: ``python3 loader_here.py SYSFS CALLS [--default NAME] [--refuses] [--old] [--rival] [--idle]``. It serves on
the bus of DBUS_SYSTEM_BUS_ADDRESS, writes each call that changes something to CALLS, and says when it serves. As
scx_loader (crates/scx_loader/src/main.rs of sched-ext/scx-loader), it answers first and acts later, keeps saying what
it was asked for, and ignores a start while it runs another.
"""

import argparse
import queue
import threading
from pathlib import Path

from jeepney import HeaderFields, MessageType, new_error, new_method_return
from jeepney.bus_messages import message_bus
from jeepney.io.blocking import open_dbus_connection

SUPPORTED = ["scx_bpfland", "scx_lavd", "scx_rusty"]
FAILED = "org.freedesktop.DBus.Error.Failed"


class Kernel:
    """What /sys/kernel/sched_ext shows while a scheduler runs, and after it."""

    def __init__(self, path):
        self.path = path

    def attach(self, program):
        (self.path / "root").mkdir(exist_ok=True)
        (self.path / "root" / "ops").write_text(f"{program.removeprefix('scx_')}_1.0.20_x86_64\n")
        (self.path / "state").write_text("enabled\n")
        (self.path / "enable_seq").write_text(f"{int((self.path / 'enable_seq').read_text()) + 1}\n")

    def detach(self):
        (self.path / "state").write_text("disabled\n")
        (self.path / "root" / "ops").unlink(missing_ok=True)


class Service:
    def __init__(self, words):
        self.words, self.kernel = words, Kernel(Path(words.sysfs))
        self.current, self.mode, self.arguments = None, 0, []
        self.todo = queue.Queue()
        threading.Thread(target=self.act, daemon=True).start()
        if words.default:
            self.switch(words.default, 0)

    def act(self):
        """The child process, as handle_child_process() has it."""
        running = None
        while True:
            verb, program = self.todo.get()
            if verb == "start" and running:
                continue
            if running:
                self.kernel.detach()
                running = None
            if program and not self.words.idle:
                self.kernel.attach(program)
                running = program

    def note(self, *call):
        with open(self.words.calls, "a") as file:
            file.write(" ".join(map(str, call)) + "\n")

    def start(self, name, mode):
        self.todo.put(("start", name))
        self.current, self.mode, self.arguments = name, mode, []

    def switch(self, name, mode, arguments=()):
        self.todo.put(("switch", name))
        self.current, self.mode, self.arguments = name, mode, list(arguments)

    def stop(self):
        if self.current:
            self.todo.put(("stop", None))
            self.current, self.arguments = None, []

    def called(self, member, body):
        """Do what a method says; returns an error's text, or nothing."""
        self.note(member, *body)
        if self.words.refuses:
            return "Not allowed!"
        if member in ("StartScheduler", "SwitchScheduler", "SwitchSchedulerWithArgs") and body[0] not in SUPPORTED:
            return f"{body[0]} is not supported"
        if member == "StartScheduler":
            self.start(*body)
        elif member == "SwitchScheduler":
            self.switch(*body)
        elif member == "SwitchSchedulerWithArgs":
            self.switch(body[0], 0, body[1])
        elif member == "StopScheduler":
            self.stop()
        elif member == "RestoreDefault":
            if not self.words.default:
                return "No default scheduler is configured"
            self.switch(self.words.default, 0)
        return None

    def property(self, name):
        found = {
            "CurrentScheduler": ("s", self.current or "unknown"),
            "SchedulerMode": ("u", self.mode),
            "SupportedSchedulers": ("as", SUPPORTED),
        }
        newer = {"CurrentSchedulerArgs": ("as", self.arguments)}
        return (found if self.words.old else found | newer).get(name)

    def reply(self, message):
        interface, member = (
            message.header.fields.get(field) for field in (HeaderFields.interface, HeaderFields.member)
        )
        if member == "GetUnit":
            if not self.words.rival:
                return new_error(message, "org.freedesktop.systemd1.NoSuchUnit", "s", ("not loaded",))
            return new_method_return(message, "o", ("/org/freedesktop/systemd1/unit/scx_2eservice",))
        if member == "Get":
            of, name = message.body
            found = ("s", "active") if of == "org.freedesktop.systemd1.Unit" else self.property(name)
            if found is None:
                return new_error(message, "org.freedesktop.DBus.Error.UnknownProperty", "s", (f"no {name}",))
            return new_method_return(message, "v", (found,))
        if interface != "org.scx.Loader":
            return new_error(message, "org.freedesktop.DBus.Error.UnknownMethod", "s", (f"no {member}",))
        problem = self.called(member, message.body)
        return new_error(message, FAILED, "s", (problem,)) if problem else new_method_return(message)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("sysfs")
    parser.add_argument("calls")
    parser.add_argument("--default")
    for name in ("refuses", "old", "rival", "idle"):
        parser.add_argument(f"--{name}", action="store_true")
    words = parser.parse_args()
    service = Service(words)
    connection = open_dbus_connection("SYSTEM")
    for name in ("org.scx.Loader", "org.freedesktop.systemd1"):
        connection.send_and_get_reply(message_bus.RequestName(name))
    print("serving", flush=True)
    while True:
        message = connection.receive()
        if message.header.message_type == MessageType.method_call:
            connection.send(service.reply(message))


if __name__ == "__main__":
    main()
