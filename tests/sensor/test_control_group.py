"""Container ids in the paths of control groups, as runtimes write them."""

from __future__ import annotations

import pytest

from auditsense.sensor.control_group import UNKNOWN, Container, container_in

ID = "0123456789abcdef" * 4
OUTER = "fedcba9876543210" * 4
POD = "pod1b2c3d4e-0000-4000-8000-123456789abc"
SLICE = "kubepods-burstable-pod1b2c3d4e_0000_4000_8000_123456789abc.slice"


@pytest.mark.parametrize(
    ("path", "container"),
    [
        (f"/system.slice/docker-{ID}.scope", (ID, "docker")),
        (f"/docker/{ID}", (ID, "docker")),
        (f"/docker/{ID}/init.scope", (ID, "docker")),
        (f"/user.slice/user-1000.slice/user@1000.service/user.slice/docker-{ID}.scope", (ID, "docker")),
        (f"/system.slice/nerdctl-{ID}.scope", (ID, "containerd")),
        (f"/kubepods.slice/kubepods-burstable.slice/{SLICE}/cri-containerd-{ID}.scope", (ID, "containerd")),
        (f"/system.slice/containerd.service/{SLICE}:cri-containerd:{ID}", (ID, "containerd")),
        (f"/kubepods.slice/kubepods-burstable.slice/{SLICE}/crio-{ID}.scope", (ID, "cri-o")),
        (f"/kubepods.slice/{SLICE}/crio-{ID}.scope/container", (ID, "cri-o")),
        (f"/kubepods/besteffort/{POD}/crio-{ID}", (ID, "cri-o")),
        (f"/kubepods.slice/{SLICE}/docker-{ID}.scope", (ID, "docker")),
        (f"/kubepods/burstable/{POD}/{ID}", (ID, "")),
        (f"/kubepods/{POD}/{ID}", (ID, "")),
        (f"/machine.slice/libpod-{ID}.scope/container", (ID, "podman")),
        (f"/user.slice/user-1000.slice/user@1000.service/user.slice/libpod-{ID}.scope", (ID, "podman")),
        (f"/libpod_parent/libpod-{ID}", (ID, "podman")),
        (f"/system.slice/web.service/libpod-payload-{ID}", (ID, "podman")),
        (f"/ecs/0123456789abcdef0123456789abcdef/{ID}", (ID, "")),
        ("/machine.slice/machine-debian.scope/payload/system.slice", ("debian", "systemd-nspawn")),
        (
            "/machine.slice/systemd-nspawn@build\\x2dbox.service/payload/init.scope",
            ("build-box", "systemd-nspawn"),
        ),
        ("/lxc.payload.web/system.slice/ssh.service", ("web", "lxc")),
        # a runtime in a container: the process is in the inner one
        (f"/docker/{OUTER}/kubelet/kubepods/burstable/{POD}/{ID}", (ID, "")),
        (f"/docker/{OUTER}/system.slice/docker-{ID}.scope", (ID, "docker")),
        # seen from a control group namespace below the root
        (f"/../docker-{ID}.scope", (ID, "docker")),
        # the name of a runtime that is not known
        (f"/system.slice/another-{ID}.scope", (UNKNOWN, "")),
    ],
)
def test_container_is_read_from_path(path: str, container: tuple[str, str]) -> None:
    assert container_in(f"0::{path}\n") == Container(*container)
    assert container_in(f"12:pids:{path}\n1:name=systemd:{path}\n0::/\n") == Container(*container)


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/user.slice/user-1000.slice/session-3.scope",
        "/system.slice/docker.service",
        f"/docker/{ID}0",
        f"/docker/{ID[:-1]}",
        f"/docker/{ID.upper()}",
        f"/machine.slice/libpod-conmon-{ID}.scope",
        f"/kubepods.slice/{SLICE}/crio-conmon-{ID}.scope",
        f"/machine.slice/libpod_pod_{ID}.slice",
        f"/kubepods.slice/{SLICE}",
        "/machine.slice/machine-debian.scope/supervisor",
        "/machine.slice/machine-qemu\\x2d1\\x2dvirtual.scope/libvirt",
        "/lxc.monitor.web",
    ],
)
def test_other_path_names_no_container(path: str) -> None:
    assert container_in(f"0::{path}\n") is None


@pytest.mark.parametrize("text", ["", "\n", "0::", "no cgroup", ":::::", f"0:docker-{ID}"])
def test_malformed_text_names_no_container(text: str) -> None:
    assert container_in(text) is None


def test_hierarchies_that_disagree_are_unknown() -> None:
    text = f"2:cpu:/docker/{ID}\n1:name=systemd:/docker/{OUTER}\n"
    assert container_in(text) == Container(UNKNOWN)
