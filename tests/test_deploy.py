"""The files in assets/deploy: their schemas, their commands against the real command lines, and what they must not do."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from app.__main__ import _parser as studio_parser
from vlmrb.__main__ import build_parser

FOLDER = Path(__file__).parents[1] / "assets" / "deploy"
COMPOSE, KUBERAY = FOLDER / "compose.yaml", FOLDER / "kuberay.yaml"
GUIDES = sorted(FOLDER.glob("*.md"))
SECRETS = ("VLMRB_POSTGRES_PASSWORD", "VLMRB_STUDIO_PASSWORD", "VLMRB_SCORER_KEY", "VLMRB_RAY_TOKEN")
OURS = "vlmrb"  # the image of the Dockerfile


def services() -> dict[str, dict[str, Any]]:
    return yaml.safe_load(COMPOSE.read_text(encoding="utf-8"))["services"]


def manifests(kind: str | None = None) -> list[dict[str, Any]]:
    documents = yaml.safe_load_all(KUBERAY.read_text(encoding="utf-8"))
    return [each for each in documents if kind in (None, each["kind"])]


def pods() -> Iterator[tuple[str, dict[str, Any]]]:
    """Name and template of each kind of pod."""
    for each in manifests():
        spec = each.get("spec", {})
        if each["kind"] == "RayCluster":
            yield "ray-head", spec["headGroupSpec"]["template"]
            yield from ((group["groupName"], group["template"]) for group in spec["workerGroupSpecs"])
        elif "template" in spec:
            yield each["metadata"]["name"], spec["template"]


def blocks(path: Path, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", path.read_text(encoding="utf-8"), re.DOTALL)


def guide_commands() -> list[str]:
    """Every line of the guides' shell blocks, with continued lines joined."""
    return [
        line.strip()
        for path in GUIDES
        for block in blocks(path, "bash")
        for line in block.replace("\\\n", " ").splitlines()
        if line
    ]


def container_commands() -> list[list[str]]:
    """What the containers of both files run, with what `sh -c` starts in front of it, and their probes."""
    found = []
    for service in services().values():
        found += [[*service.get("entrypoint", []), *service.get("command", [])], service["healthcheck"]["test"][1:]]
    for _, template in pods():
        container = template["spec"]["containers"][0]
        found.append([*container.get("command", []), *container.get("args", [])])
    for words in [words for words in found if words[:1] == ["sh"]]:
        script, arguments = words[2], words[4:]
        found += [shlex.split(part) for part in script.split("&&") if not part.strip().startswith("exec")] + [arguments]
    return [[re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", word) for word in words] for words in found]


def check_command(words: list[str]) -> bool:
    """Parse a command of ours or of Ray's; whether it was one."""
    if words[:3] == ["python", "-m", "vlmrb"]:
        build_parser().parse_args(words[3:])
    elif words[:3] == ["python", "-m", "app"]:
        studio_parser().parse_args(words[3:])
    elif words[:1] == ["ray"]:
        cli = pytest.importorskip("ray.scripts.scripts").cli
        command = cli.commands[words[1]]
        command.make_context(words[1], words[2:])
    else:
        return False
    return True


def test_the_commands_of_the_containers_parse() -> None:
    checked = [words[:3] for words in container_commands() if check_command(words)]
    assert sum(words[0] == "ray" for words in checked) >= 4
    assert checked.count(["python", "-m", "app"]) == 2


def test_the_commands_of_the_guides_parse() -> None:
    found = [
        command.strip()
        for line in guide_commands()
        for command in re.findall(r"(?:python -m (?:vlmrb|app)|\bray (?:start|status|stop)).*?(?=['|;]|$| &&)", line)
    ]
    checked = [command for command in found if check_command(shlex.split(command, comments=True))]
    assert len(checked) == len(found) > 10


@pytest.mark.parametrize("path", GUIDES, ids=lambda path: path.name)
def test_shell_blocks_of_the_guides_are_valid_shell(path: Path) -> None:
    for block in blocks(path, "bash"):
        outcome = subprocess.run(["bash", "-n"], input=block, text=True, capture_output=True)
        assert outcome.returncode == 0, outcome.stderr


@pytest.mark.parametrize("name", ["workstation.md", "machines.md", "cluster.md"])
def test_each_guide_says_that_rays_ports_run_code(name: str) -> None:
    assert re.search(r"\*\*Whoever reaches Ray's ports can run\s+code", (FOLDER / name).read_text(encoding="utf-8"))


def test_no_secret_has_a_default() -> None:
    text = COMPOSE.read_text(encoding="utf-8")
    for name in SECRETS:
        assert re.findall(rf"\$\{{?{name}(..)", text), name
        assert set(re.findall(rf"\$\{{?{name}(..)", text)) == {":?"}, name
    for _, template in pods():
        for variable in template["spec"]["containers"][0].get("env", []):
            if re.search("PASSWORD|KEY|TOKEN", variable["name"]):
                assert "secretKeyRef" in variable["valueFrom"], variable
    assert not manifests("Secret")


def test_only_the_studio_is_published_and_only_on_loopback() -> None:
    networks = yaml.safe_load(COMPOSE.read_text(encoding="utf-8"))["networks"]
    assert networks["internal"]["internal"] is True
    for name, service in services().items():
        assert set(service["networks"]) == ({"internal", "published"} if name == "studio" else {"internal"})
        assert all(str(port).startswith("127.0.0.1:") for port in service.get("ports", []))
        assert bool(service.get("ports")) == (name == "studio")
        assert not {"privileged", "network_mode", "pid", "devices"} & set(service)


def test_every_service_is_checked_and_has_few_rights() -> None:
    for service in services().values():
        assert service["healthcheck"]["test"]
        if OURS in service["image"]:
            assert service["cap_drop"] == ["ALL"]
    for name, template in pods():
        spec, container = template["spec"], template["spec"]["containers"][0]
        assert {"readinessProbe", "livenessProbe"} <= set(container), name
        assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}, name
        assert spec["securityContext"]["runAsNonRoot"] and not spec["automountServiceAccountToken"], name
        assert not any("hostPort" in port for port in container.get("ports", [])), name


def test_nothing_of_the_cluster_is_reachable_from_outside() -> None:
    assert {each["spec"].get("type", "ClusterIP") for each in manifests("Service")} == {"ClusterIP"}
    assert not manifests("Ingress")
    covered = {direction for policy in manifests("NetworkPolicy") for direction in policy["spec"]["policyTypes"]}
    assert covered == {"Ingress", "Egress"}
    writes = {name: template["metadata"]["labels"].get("store") for name, template in pods()}
    assert writes == {"postgres": None, "scorer": None, "studio": "writes", "ray-head": "writes", "runs": "writes"}


def test_the_manifests_fit_kubernetes_schemas() -> None:
    validate = pytest.importorskip("kubernetes_validate").validate
    for each in manifests():
        if each["kind"] != "RayCluster":
            validate(each, "1.37", strict=True)
    for name, template in pods():
        pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, **template["metadata"]}, "spec": template["spec"]}
        validate(pod, "1.37", strict=True)


def test_the_cluster_runs_the_version_of_ray_that_is_installed() -> None:
    ray = pytest.importorskip("ray")
    (cluster,) = manifests("RayCluster")
    minor = [version.rpartition(".")[0] for version in (cluster["spec"]["rayVersion"], ray.__version__)]
    assert minor[0] == minor[1]


class TestRealCompose:
    """With Docker's own client, which needs no engine for this."""

    @pytest.fixture
    def compose(self) -> list[str]:
        for name, *rest in (["docker", "compose"], ["docker-compose"]):
            if program := shutil.which(name):
                version = subprocess.run([program, *rest, "version", "--short"], capture_output=True, text=True)
                if version.returncode == 0 and not version.stdout.startswith("1."):
                    return [program, *rest]
        pytest.skip("needs Docker Compose 2")

    def config(self, compose: list[str], given: dict[str, str], *files: Path) -> subprocess.CompletedProcess[str]:
        options = [word for path in files or (COMPOSE,) for word in ("-f", str(path))]
        environment = {"PATH": "/usr/bin:/bin:/usr/local/bin", "HOME": "/nonexistent", **given}
        return subprocess.run([*compose, *options, "config"], capture_output=True, text=True, env=environment)

    def test_it_accepts_the_file_with_all_secrets(self, compose: list[str]) -> None:
        outcome = self.config(compose, dict.fromkeys(SECRETS, "x"))
        assert outcome.returncode == 0, outcome.stderr

    @pytest.mark.parametrize("missing", SECRETS)
    def test_it_refuses_to_start_without(self, missing: str, compose: list[str]) -> None:
        outcome = self.config(compose, {name: "x" for name in SECRETS if name != missing})
        assert outcome.returncode != 0
        assert f"{missing} is missing a value: choose a" in outcome.stderr

    def test_it_accepts_the_guides_file_for_a_gpu(self, compose: list[str], tmp_path: Path) -> None:
        (block,) = blocks(FOLDER / "workstation.md", "yaml")
        (tmp_path / "gpu.yaml").write_text(block)
        outcome = self.config(compose, dict.fromkeys(SECRETS, "x"), COMPOSE, tmp_path / "gpu.yaml")
        assert outcome.returncode == 0, outcome.stderr
        scorer = yaml.safe_load(outcome.stdout)["services"]["scorer"]
        check_command([*scorer["entrypoint"], *scorer["command"]])
