"""Clusters that cannot be used: one line each. Ray itself is not needed."""

import importlib.util
import socket
import sys

import pytest

from schedtel.access import ray_cluster
from schedtel.errors import CapabilityError


def test_without_ray_an_error_says_what_to_install(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    with pytest.raises(CapabilityError, match=r"Ray is not installed \(pip install 'schedtel\[ray\]'\)"):
        ray_cluster.refuse_without_ray()


def closed_port():
    with socket.create_server(("127.0.0.1", 0)) as server:
        return f"127.0.0.1:{server.getsockname()[1]}"


@pytest.mark.parametrize("address", ["{closed}", "ray://{closed}", "no-port", "a:b", "[::1", ""])
def test_a_cluster_out_of_reach_is_one_line(address):
    with pytest.raises(CapabilityError, match="cannot reach a cluster at"):
        ray_cluster.refuse_out_of_reach(address.format(closed=closed_port()))


class Slow:
    """In the place of Ray, on a machine that is too slow for it."""

    @staticmethod
    def init(**_):
        raise RuntimeError("The current node timed out during startup.\nThis could happen because")


def test_where_ray_does_not_start_on_this_machine_nothing_is_said_of_a_cluster(monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", Slow)
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: True)
    with pytest.raises(CapabilityError) as caught, ray_cluster.own_cluster(1, 1 << 27):
        pass
    assert str(caught.value) == (
        "cannot start Ray on this machine: The current node timed out during startup. "
        "(a busy machine may be too slow for it: try again)"
    )
    monkeypatch.setattr(ray_cluster, "refuse_out_of_reach", lambda _: None)
    with pytest.raises(CapabilityError, match=r"cannot reach the cluster at auto: .* \(is it running\?"):
        ray_cluster.connected("auto")
