"""A method of a service on the system's D-Bus in; its answer out.

The library for D-Bus is of the extra ``loader``, and is imported with the first connection.
"""

import contextlib
from collections.abc import Iterator
from typing import Any

from schedtel.errors import CapabilityError, CollectorError

_PATIENCE_S = 10.0
_BUS = ("org.freedesktop.DBus", "/org/freedesktop/DBus", "org.freedesktop.DBus")
_PROPERTIES = "org.freedesktop.DBus.Properties"
_MOST_TOLD = 200


class NoAnswerError(CollectorError):
    """A service refused a call, or does not know it; ``name`` is that of D-Bus's error."""

    def __init__(self, message: str, name: str) -> None:
        super().__init__(message)
        self.name = name


class Bus:
    """A connection to the system's bus: where DBUS_SYSTEM_BUS_ADDRESS says, or at its usual place.

    Raises :class:`CapabilityError` if there is none, or the library for it is not installed.
    """

    def __init__(self) -> None:
        self._jeepney = _library()
        from jeepney.io.blocking import open_dbus_connection  # noqa: PLC0415  (of an extra)

        try:
            self._connection = open_dbus_connection("SYSTEM")
        except (OSError, ValueError, RuntimeError, StopIteration, EOFError) as error:
            # ValueError: it does not let this user in. RuntimeError: the address is of a kind that is not a socket.
            said = str(error)[:_MOST_TOLD] or type(error).__name__
            raise CapabilityError(f"cannot reach the system's D-Bus: {said} (is dbus-daemon running?)") from error

    def call(self, service: tuple[str, str, str], method: str, signature: str = "", *values: object) -> Any:
        """Call a method.

        :param service: its name on the bus, the object's path, and the interface.
        :param signature: D-Bus's types of the values.

        Returns what it answers: a value, or None, or a tuple of several. Raises :class:`NoAnswerError` for an error,
        and :class:`CollectorError` if there is no answer in time.
        """
        name, path, interface = service
        address = self._jeepney.DBusAddress(path, bus_name=name, interface=interface)
        message = self._jeepney.new_method_call(address, method, signature or None, values)
        try:
            reply = self._connection.send_and_get_reply(message, timeout=_PATIENCE_S)
        except (OSError, EOFError, ValueError) as error:
            said = str(error)[:_MOST_TOLD] or "no answer in time"
            raise CollectorError(f"cannot ask {name}: {said} (see `systemctl status dbus`)") from error
        if reply.header.message_type == self._jeepney.MessageType.error:
            raise _refused(name, method, reply, self._jeepney.HeaderFields.error_name)
        return reply.body[0] if len(reply.body) == 1 else reply.body or None

    def property_of(self, service: tuple[str, str, str], name: str) -> Any:
        """The value of a property of a service. Raises what :meth:`call` raises."""
        kind_and_value = self.call((*service[:2], _PROPERTIES), "Get", "ss", service[2], name)
        return kind_and_value[1]

    def has(self, name: str) -> bool:
        """Whether a service of this name runs."""
        return bool(self.call(_BUS, "NameHasOwner", "s", name))

    def close(self) -> None:
        self._connection.close()


@contextlib.contextmanager
def connected() -> Iterator[Bus]:
    """A connection to the system's bus, until the context ends. Raises what :class:`Bus` raises."""
    bus = Bus()
    try:
        yield bus
    finally:
        bus.close()


def _refused(service: str, method: str, reply: Any, error_name: Any) -> NoAnswerError:
    name = str(reply.header.fields.get(error_name, ""))
    said = str(reply.body[0])[:_MOST_TOLD] if reply.body else name
    return NoAnswerError(f"cannot call {method} of {service}: {said} (see `journalctl -u dbus`)", name)


def _library() -> Any:
    try:
        import jeepney  # noqa: PLC0415  (of an extra)
    except ImportError as error:
        raise CapabilityError(
            "cannot use the system's D-Bus: jeepney is not installed (pip install 'schedtel[loader]')"
        ) from error
    return jeepney
