"""The manifests in scripts/deploy/k8s: against Kubernetes' own types, against each other, and against what the
programs say of themselves. No cluster is needed."""

import re
import shutil
import subprocess

import kubernetes.client.models as models
import pytest
import yaml

from conftest import ROOT

FOLDER = ROOT / "scripts/deploy/k8s"
FILES = sorted(FOLDER.rglob("*.yaml"))
MANIFESTS = [path for path in FILES if path.name != "kustomization.yaml"]
DRAIN = 10  # seconds at most from SIGTERM to the end, see common/loop.h

# autoscaling/v2 is what v2beta2 was when it became stable; Debian 12's client has the older name only.
MODELS = {("autoscaling/v2", "HorizontalPodAutoscaler"): "V2beta2HorizontalPodAutoscaler"}
NAME = "app.kubernetes.io/name"


def documents(*paths):
    return [document for path in paths for document in yaml.safe_load_all(path.read_text())]


ALL = documents(*MANIFESTS)


def of_kind(*kinds):
    return [document for document in ALL if document["kind"] in kinds]


def named(kind, name):
    found = [document for document in of_kind(kind) if document["metadata"]["name"] == name]
    assert len(found) == 1, f"{kind} {name}"
    return found[0]


WORKLOADS = {document["metadata"]["name"]: document for document in of_kind("Deployment", "StatefulSet")}
PROGRAMS = ["tollgate-ingest", "tollgate-worker"]


def pod(name):
    return WORKLOADS[name]["spec"]["template"]["spec"]


def container(name):
    (only,) = pod(name)["containers"]
    return only


# ---- Types ----

def problems(value, kind, path):
    """What in a value is not as Kubernetes' type says: unknown fields, missing ones, other types."""
    inner = re.fullmatch(r"list\[(.*)\]|dict\(str, (.*)\)", kind)
    if inner and inner.group(1):
        if not isinstance(value, list):
            return [f"{path}: not a list"]
        return [problem for i, item in enumerate(value) for problem in problems(item, inner.group(1), f"{path}[{i}]")]
    if inner:
        return [problem for key, item in value.items() for problem in problems(item, inner.group(2), f"{path}.{key}")]
    if hasattr(models, kind):
        return model_problems(value, getattr(models, kind), path)
    wanted = {"str": str, "int": int, "bool": bool, "float": (int, float), "object": object}[kind]
    is_one = isinstance(value, wanted) and not (kind == "int" and isinstance(value, bool))
    return [] if is_one else [f"{path}: {value!r} is no {kind}"]


def model_problems(value, model, path):
    if not isinstance(value, dict):
        return [f"{path}: not an object"]
    fields = {field: attribute for attribute, field in model.attribute_map.items()}
    found = [f"{path}: unknown field {field}" for field in value if field not in fields]
    for field in value.keys() & fields.keys():
        found += problems(value[field], model.openapi_types[fields[field]], f"{path}.{field}")
    try:
        model(**{fields[field]: value[field] for field in value.keys() & fields.keys()})
    except ValueError as error:
        found.append(f"{path}: {error}")
    return found


@pytest.mark.parametrize("manifest", [one for one in ALL if one["kind"] != "ScaledObject"],
                         ids=lambda one: f"{one['kind']}-{one['metadata']['name']}")
def test_types(manifest):
    version, kind = manifest["apiVersion"], manifest["kind"]
    model = MODELS.get((version, kind), version.rsplit("/")[-1].capitalize() + kind)
    assert problems(manifest, model, kind) == []


def test_types_see_what_is_wrong():
    worker = yaml.safe_load(yaml.safe_dump(WORKLOADS["tollgate-worker"]))
    container = worker["spec"]["template"]["spec"]["containers"][0]
    container["readinessprobe"] = container.pop("readinessProbe")
    del container["name"]
    worker["spec"]["replicas"] = "2"
    assert len(problems(worker, "V1Deployment", "")) == 3


def test_yaml():
    done = subprocess.run(["yamllint", "-s", "-c", ROOT / "tests/packaging/.yamllint", FOLDER], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "")


# ---- How they fit together ----

def test_kustomizations_name_every_file():
    for folder in (FOLDER / "base", FOLDER / "keda"):
        (kustomization,) = documents(folder / "kustomization.yaml")
        assert kustomization["namespace"] == "tollgate"
        here = {path.name for path in folder.glob("*.yaml")} - {"kustomization.yaml"}
        assert set(kustomization["resources"]) - {"../base"} == here
        for image in kustomization.get("images", []):
            assert image["name"] in {container(name)["image"] for name in WORKLOADS}


@pytest.mark.skipif(not shutil.which("kubectl"), reason="kubectl is not installed")
@pytest.mark.parametrize("folder, replicas", [("base", 2), ("keda", None)])
def test_kustomize_builds(folder, replicas):
    done = subprocess.run(["kubectl", "kustomize", FOLDER / folder], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    built = list(yaml.safe_load_all(done.stdout))
    assert all(one["kind"] == "Namespace" or one["metadata"]["namespace"] == "tollgate" for one in built)
    (worker,) = [one for one in built if (one["kind"], one["metadata"]["name"]) == ("Deployment", "tollgate-worker")]
    assert worker["spec"].get("replicas") == replicas
    assert worker["spec"]["template"]["spec"]["containers"][0]["image"] == "tollgate-worker:latest"


def matches(selector, labels):
    return (all(labels.get(key) == value for key, value in selector.get("matchLabels", {}).items())
            and all(labels.get(rule["key"]) in rule["values"] for rule in selector.get("matchExpressions", [])))


def selected(selector):
    return [name for name, one in WORKLOADS.items() if matches(selector, one["spec"]["template"]["metadata"]["labels"])]


def ports(name):
    return {port["name"]: port["containerPort"] for port in container(name).get("ports", [])}


def test_selectors_find_their_pods():
    for one in of_kind("Deployment", "StatefulSet", "PodDisruptionBudget"):
        assert selected(one["spec"]["selector"]) == [one["metadata"]["name"]]
    for one in of_kind("Service"):
        (name,) = selected({"matchLabels": one["spec"]["selector"]})
        assert {port["targetPort"] for port in one["spec"]["ports"]} <= ports(name).keys()
    for one in of_kind("StatefulSet"):
        assert named("Service", one["spec"]["serviceName"])["spec"]["clusterIP"] == "None"
    for one in of_kind("HorizontalPodAutoscaler"):
        target = one["spec"]["scaleTargetRef"]
        assert named(target["kind"], target["name"])["spec"].get("replicas") is None
    for name in PROGRAMS:
        assert named("PodDisruptionBudget", name)["spec"]["maxUnavailable"] == 1


def test_the_network_lets_through_what_is_meant():
    for policy in of_kind("NetworkPolicy"):
        spec = policy["spec"]
        assert "Ingress" not in spec["policyTypes"] or not spec["podSelector"] or spec["ingress"]
        for rule in spec.get("ingress", []):
            for port in rule["ports"]:
                assert port["port"] in ports(*selected(spec["podSelector"])).values()
    for name in WORKLOADS:
        assert "tollgate" in [policy["metadata"]["name"] for policy in of_kind("NetworkPolicy")
                              if name in selected(policy["spec"]["podSelector"])]


def test_what_is_referred_to_is_there():
    secret, config = named("Secret", "tollgate"), named("ConfigMap", "tollgate")
    for name in WORKLOADS:
        one = container(name)
        keys = [env["valueFrom"]["secretKeyRef"] for env in one["env"] if "valueFrom" in env]
        assert {key["name"] for key in keys} <= {"tollgate"} and {key["key"] for key in keys} <= secret["stringData"].keys()
        assert [source["configMapRef"]["name"] for source in one.get("envFrom", [])] in ([], [config["metadata"]["name"]])
        files = {item["path"] for volume in pod(name).get("volumes", []) for item in volume["secret"]["items"]
                 if item["key"] in secret["stringData"]}
        mounts = {mount["name"]: mount["mountPath"] for mount in one.get("volumeMounts", [])}
        volumes = {volume["name"] for volume in pod(name).get("volumes", [])} | {
            claim["metadata"]["name"] for claim in WORKLOADS[name]["spec"].get("volumeClaimTemplates", [])}
        assert mounts.keys() == volumes
        for env in one["env"]:
            if env["name"].endswith("_FILE"):
                assert env["value"].startswith(mounts["secrets"] + "/") and env["value"].rsplit("/")[-1] in files
            if env["name"] == "REDIS_URL":
                service, port = re.search(r"@([a-z-]+):(\d+)/", env["value"]).groups()
                assert int(port) in [port["port"] for port in named("Service", service)["spec"]["ports"]]


# ---- What they say of the programs ----

@pytest.mark.parametrize("name", PROGRAMS)
def test_settings_and_ports_are_the_programs(installed, name):
    one = container(name)
    environment = {env["name"]: env.get("value", "x") for env in one["env"] if env["name"] != "REDIS_PASSWORD"}
    says = installed.run(name, "--help").stdout
    known = set(re.findall(r"^  ([A-Z_]+) \(", says, re.M))
    assert {setting.removesuffix("_FILE") for setting in environment} <= known
    admin = int(environment["TOLLGATE_ADMIN_LISTEN"].rsplit(":")[-1])
    assert ports(name)["metrics"] == admin and f"127.0.0.1:{admin} ({name.split('-')[1]})" in says
    if "webhook" in ports(name):
        assert f":{ports(name)['webhook']})" in re.search(r"TOLLGATE_LISTEN .*", says).group()
    for probe, path in (("livenessProbe", "/healthz"), ("readinessProbe", "/readyz")):
        assert one[probe]["httpGet"] == {"path": path, "port": "metrics"}


def test_the_config_is_understood(installed, tmp_path):
    """By the programs themselves, with the secrets in files as they are mounted."""
    config, secret = named("ConfigMap", "tollgate")["data"], named("Secret", "tollgate")["stringData"]
    for key in ("webhook-secret", "calcom-api-key"):
        (tmp_path / key).write_text(secret[key])
    for name in PROGRAMS:
        environment = {env["name"]: env["value"].replace("/run/secrets/tollgate", str(tmp_path)) for env in container(name)["env"]
                       if "value" in env}
        environment["REDIS_URL"] = environment["REDIS_URL"].replace("$(REDIS_PASSWORD)", secret["redis-password"])
        installed.run(name, "--check", **{**config, **environment})


@pytest.mark.parametrize("name", WORKLOADS)
def test_pods_are_confined(name):
    spec, one = pod(name), container(name)
    assert spec["automountServiceAccountToken"] is False
    assert spec["securityContext"]["runAsNonRoot"] and spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert spec["securityContext"]["runAsUser"] == (999 if name == "tollgate-redis" else 64646)
    assert one["securityContext"] == {"allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True,
                                      "capabilities": {"drop": ["ALL"]}}
    assert "memory" in one["resources"]["limits"] and one["resources"]["requests"].keys() == {"cpu", "memory"}


@pytest.mark.parametrize("name", PROGRAMS)
def test_a_pod_has_time_to_drain(name):
    before = container(name).get("lifecycle", {}).get("preStop", {"exec": {"command": ["sleep", "0"]}})["exec"]["command"]
    assert before[0] == "sleep" and pod(name)["terminationGracePeriodSeconds"] > int(before[1]) + DRAIN


def test_each_ingest_has_a_spool_of_its_own():
    spec = WORKLOADS["tollgate-ingest"]["spec"]
    (claim,) = spec["volumeClaimTemplates"]
    (mount,) = [mount for mount in container("tollgate-ingest")["volumeMounts"] if mount["name"] == claim["metadata"]["name"]]
    (folder,) = [env["value"] for env in container("tollgate-ingest")["env"] if env["name"] == "TOLLGATE_SPOOL_DIR"]
    assert folder.startswith(mount["mountPath"] + "/")
    (scaler,) = of_kind("HorizontalPodAutoscaler")
    assert scaler["spec"]["behavior"]["scaleDown"] == {"selectPolicy": "Disabled"}


def test_keda_scales_on_the_queue():
    """The fields of keda.sh/v1alpha1 and of its trigger `redis`, as KEDA's reference has them."""
    (scaled,) = of_kind("ScaledObject")
    assert (scaled["apiVersion"], set(scaled)) == ("keda.sh/v1alpha1", {"apiVersion", "kind", "metadata", "spec"})
    spec = scaled["spec"]
    assert set(spec) == {"scaleTargetRef", "pollingInterval", "cooldownPeriod", "minReplicaCount", "maxReplicaCount", "triggers"}
    worker = named("Deployment", spec["scaleTargetRef"]["name"])
    assert 2 <= spec["minReplicaCount"] <= spec["maxReplicaCount"]
    (trigger,) = spec["triggers"]
    metadata = trigger["metadata"]
    assert trigger["type"] == "redis" and all(isinstance(value, str) for value in metadata.values())
    assert set(metadata) == {"address", "passwordFromEnv", "listName", "listLength", "databaseIndex"}
    assert metadata["listName"] == "{tollgate}:queue" and "TOLLGATE_NAMESPACE" not in named("ConfigMap", "tollgate")["data"]
    assert metadata["passwordFromEnv"] in [env["name"] for env in worker["spec"]["template"]["spec"]["containers"][0]["env"]]
    service, namespace = metadata["address"].split(":")[0].split(".")[:2]
    assert named("Service", service) and named("Namespace", namespace)
