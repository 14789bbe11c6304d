"""MLflow's client, unmodified: `mlflow_checks.py MODEL`; hub and token come as MLFLOW_TRACKING_URI and MLFLOW_TRACKING_TOKEN.

The model is one that is published to the hub and has a label.
"""

import math
import pathlib
import sys
import tempfile
import time

import mlflow
from mlflow import MlflowClient
from mlflow.entities import Dataset, DatasetInput, InputTag, Metric, Param, RunTag, ViewType
from mlflow.exceptions import MlflowException

from checks import check, equal, holds, run

STEPS = 50


def refused(code, text, call):
    """And at once: the client must not think that trying again helps."""
    started = time.monotonic()
    try:
        call()
    except MlflowException as error:
        equal(error.error_code, code, str(error))
        holds(text in str(error), f"{error!s} lacks {text!r}")
        holds(time.monotonic() - started < 2, "the client tried again")
    else:
        raise AssertionError("was answered")


@check("a plain run in the experiment Default")
def _(_, __):
    with mlflow.start_run() as active:
        mlflow.log_param("depth", 3)
        mlflow.log_metric("loss", 0.5)
    found = mlflow.get_run(active.info.run_id)
    equal(found.info.status, "FINISHED")
    equal(found.info.experiment_id, "0")
    equal(found.data.params, {"depth": "3"})
    equal(found.data.metrics, {"loss": 0.5})
    holds(found.info.end_time >= found.info.start_time, found.info)


@check("a run with params, metrics over steps, tags, nested runs")
def _(_, __):
    mlflow.set_experiment("interop")
    with mlflow.start_run(run_name="first", tags={"team": "edge"}, description="logged by the suite") as active:
        mlflow.log_params({"lr": 0.01, "optimizer": "adamw", "layers": [64, 10], "ünïcode key": "ok"})
        for step in range(STEPS):
            mlflow.log_metrics({"loss": 1 / (step + 1), "train/accuracy": step / STEPS}, step=step)
        mlflow.set_tag("stage", "trial")
        mlflow.set_tags({"a": "1", "b": "2"})
        with mlflow.start_run(run_name="child", nested=True) as child:
            mlflow.log_metric("loss", 0.1)
    holds(mlflow.get_run(child.info.run_id).data.tags["mlflow.parentRunId"] == active.info.run_id, "parent")
    found = mlflow.get_run(active.info.run_id)
    equal(found.info.run_name, "first")
    equal(found.data.params, {"lr": "0.01", "optimizer": "adamw", "layers": "[64, 10]", "ünïcode key": "ok"})
    equal(found.data.metrics, {"loss": 1 / STEPS, "train/accuracy": (STEPS - 1) / STEPS})
    for key, value in {"team": "edge", "stage": "trial", "a": "1", "b": "2"}.items():
        equal(found.data.tags[key], value, key)
    equal(found.data.tags["mlflow.runName"], "first")


@check("the history of a metric")
def _(client, _):
    run_id = named(client, "first").info.run_id
    history = client.get_metric_history(run_id, "loss")
    equal([(m.step, m.value) for m in history], [(step, 1 / (step + 1)) for step in range(STEPS)])
    holds(all(m.timestamp > 1.6e12 for m in history), "milliseconds")
    page = client._tracking_client.store.get_metric_history(run_id, "loss", max_results=20)
    equal((len(page), bool(page.token)), (20, True))
    equal(client.get_metric_history(run_id, "nosuch"), [])


@check("values that are no plain numbers")
def _(client, _):
    with mlflow.start_run() as active:
        for step, value in enumerate([1.0, math.inf, -math.inf, math.nan]):
            mlflow.log_metric("odd", value, step=step)
        mlflow.log_metric("backwards", 2.0, step=7)
        mlflow.log_metric("backwards", 1.0, step=3)
        mlflow.log_metric("negative", 1.5, step=-4)
    history = client.get_metric_history(active.info.run_id, "odd")
    equal([m.value for m in history[:3]], [1.0, math.inf, -math.inf])
    holds(math.isnan(history[3].value), history[3])
    data = mlflow.get_run(active.info.run_id).data
    holds(math.isnan(data.metrics["odd"]), data.metrics)
    equal(data.metrics["backwards"], 2.0, "the largest step is the latest")
    equal(client.get_metric_history(active.info.run_id, "negative")[0].step, -4)


@check("a batch of all that fits one, said twice")
def _(client, _):
    made = client.create_run(client.get_experiment_by_name("interop").experiment_id, run_name="batch")
    now = int(time.time() * 1000)
    metrics = [Metric("m", i / 7, now + i, i) for i in range(800)]
    params = [Param(f"p{i}", "x" * 6000 if i == 0 else str(i)) for i in range(100)]
    tags = [RunTag(f"t{i}", str(i)) for i in range(100)]
    for _ in range(2):
        client.log_batch(made.info.run_id, metrics, params, tags)
    found = client.get_run(made.info.run_id)
    equal((len(found.data.params), len(found.data.metrics)), (100, 1))
    equal(len(found.data.params["p0"]), 6000)
    equal(found.data.tags["t99"], "99")
    equal(len(client.get_metric_history(made.info.run_id, "m")), 800)
    client.set_terminated(made.info.run_id, "FAILED")
    equal(client.get_run(made.info.run_id).info.status, "FAILED")


@check("many metrics at once: the client splits them")
def _(client, _):
    with mlflow.start_run() as active:
        mlflow.log_metrics({f"m{i}": i for i in range(1500)}, synchronous=True)
        mlflow.log_metrics({"later": 1.0}, synchronous=False)
        mlflow.flush_async_logging()
    equal(len(client.get_run(active.info.run_id).data.metrics), 1501)


@check("datasets")
def _(client, _):
    dataset = Dataset("hard", "d1", "http", '{"url": "http://127.0.0.1/hard.csv"}', schema='{"x": "double"}')
    tags = [InputTag("mlflow.data.context", "training"), InputTag("split", "a")]
    with mlflow.start_run() as active:
        client.log_inputs(active.info.run_id, datasets=[DatasetInput(dataset, tags)])
        client.log_inputs(active.info.run_id, datasets=[DatasetInput(dataset, tags)])
    (found,) = client.get_run(active.info.run_id).inputs.dataset_inputs
    equal((found.dataset.name, found.dataset.digest), ("hard", "d1"))
    holds("hard.csv" in found.dataset.source, found.dataset.source)
    equal({t.key: t.value for t in found.tags}, {"mlflow.data.context": "training", "split": "a"})
    (run_,) = client.search_runs(["1"], "datasets.name = 'hard' and dataset.context = 'training'")
    equal(run_.info.run_id, active.info.run_id)


def named(client, name):
    (found,) = client.search_runs(["0", "1"], f"attributes.run_name = '{name}'")
    return found


@check("searches")
def _(client, _):
    experiment = client.create_experiment("search")
    for i in range(12):
        made = client.create_run(experiment, run_name=f"r{i}", start_time=1_700_000_000_000 + i)
        client.log_metric(made.info.run_id, "acc", i / 10)
        client.log_metric(made.info.run_id, "a b", -i)
        client.log_param(made.info.run_id, "model", "cnn" if i % 2 else "mlp")
        client.set_tag(made.info.run_id, "who.is", "Ann" if i < 6 else "bob")
        if i % 3 == 0:
            client.set_terminated(made.info.run_id, "FINISHED", end_time=1_700_000_000_100 + i)

    def names(filter_string, **more):
        return [r.info.run_name for r in client.search_runs([experiment], filter_string, **more)]

    equal(names(""), [f"r{i}" for i in range(11, -1, -1)], "the newest first")
    equal(names("metrics.acc > 0.75"), ["r11", "r10", "r9", "r8"])
    equal(names("metrics.acc >= 0.2 and metrics.acc <= 0.4 and params.model = 'mlp'"), ["r4", "r2"])
    equal(names("metrics.`a b` < -10"), ["r11"])
    equal(names("metric.acc != 1e-1 AND attributes.start_time < 1700000000003"), ["r2", "r0"])
    equal(names("tags.who.is = 'Ann' and status = 'FINISHED'"), ["r3", "r0"])
    equal(names("tags.`who.is` LIKE 'a%'"), [], "LIKE minds the case")
    equal(len(names("tags.`who.is` ILIKE 'a%'")), 6)
    equal(len(names("params.model != 'mlp'")), 6)
    equal(names("params.nosuch != 'x'"), [])
    equal(len(names("params.nosuch IS NULL")), 12)
    equal(names("run_name = 'r5'"), ["r5"])
    equal(names("attributes.`Run name` = 'r5'"), ["r5"])
    equal(names("", order_by=["metrics.acc ASC"], max_results=3), ["r0", "r1", "r2"])
    equal(names("", order_by=["params.model DESC", "attributes.start_time ASC"])[:3], ["r0", "r2", "r4"])
    equal(names("", order_by=["attributes.end_time ASC"])[:5], ["r0", "r3", "r6", "r9", "r11"], "none comes last")
    ids = [r.info.run_id for r in client.search_runs([experiment], "metrics.acc > 0.95")]
    equal(len(names(f"attributes.run_id IN ('{ids[0]}', '{ids[1]}')")), 2)
    seen, token = [], None
    while True:
        page = client.search_runs([experiment], max_results=5, page_token=token)
        seen += [r.info.run_name for r in page]
        token = page.token
        if not token:
            break
    equal(seen, [f"r{i}" for i in range(11, -1, -1)], "pages")
    for wrong in ("metrics.acc >", "metrics.acc > 'x'", "params.model > 'a'", "a or b", "nosuch.x = 1", "attributes.nosuch = 'x'", "metrics.acc RLIKE 'x'"):
        refused("INVALID_PARAMETER_VALUE", "filter", lambda: client.search_runs([experiment], wrong))
    refused("INVALID_PARAMETER_VALUE", "order_by", lambda: client.search_runs([experiment], order_by=["metrics.acc sideways"]))
    refused("INVALID_PARAMETER_VALUE", "page_token", lambda: client.search_runs([experiment], page_token="xyz"))


@check("deleting and restoring a run")
def _(client, _):
    made = client.create_run("0", run_name="gone")
    run_id = made.info.run_id
    client.set_tag(run_id, "k", "v")
    client.delete_tag(run_id, "k")
    refused("RESOURCE_DOES_NOT_EXIST", "no tag", lambda: client.delete_tag(run_id, "k"))
    client.delete_run(run_id)
    equal(client.get_run(run_id).info.lifecycle_stage, "deleted")
    equal(client.search_runs(["0"], "run_name = 'gone'"), [])
    equal(len(client.search_runs(["0"], "run_name = 'gone'", run_view_type=ViewType.DELETED_ONLY)), 1)
    refused("INVALID_PARAMETER_VALUE", "deleted", lambda: client.log_metric(run_id, "m", 1))
    client.restore_run(run_id)
    client.log_metric(run_id, "m", 1)
    client.update_run(run_id, name="back")
    equal(client.get_run(run_id).info.run_name, "back")


@check("experiments: create, tag, rename, delete, restore, search")
def _(client, _):
    made = client.create_experiment("vision/one", tags={"owner": "ann"})
    client.set_experiment_tag(made, "goal", "99%")
    found = client.get_experiment(made)
    equal((found.name, found.lifecycle_stage), ("vision/one", "active"))
    equal(found.tags, {"owner": "ann", "goal": "99%"})
    client.rename_experiment(made, "vision/two")
    equal(client.get_experiment_by_name("vision/one"), None)
    equal([e.name for e in client.search_experiments(filter_string="tags.owner = 'ann'")], ["vision/two"])
    equal([e.name for e in client.search_experiments(filter_string="name ILIKE 'VISION/%'")], ["vision/two"])
    refused("RESOURCE_ALREADY_EXISTS", "exists", lambda: client.create_experiment("vision/two"))
    kept = client.create_run(made)
    client.delete_experiment(made)
    equal(client.get_run(kept.info.run_id).info.lifecycle_stage, "deleted")
    refused("INVALID_PARAMETER_VALUE", "deleted", lambda: client.create_run(made))
    equal([e.name for e in client.search_experiments(view_type=ViewType.DELETED_ONLY)], ["vision/two"])
    client.restore_experiment(made)
    equal(client.get_run(kept.info.run_id).info.lifecycle_stage, "active")
    refused("RESOURCE_DOES_NOT_EXIST", "99999", lambda: client.get_experiment("99999"))
    refused("INVALID_PARAMETER_VALUE", "tidegate/", lambda: client.create_experiment("tidegate/mine"))
    holds(len(client.search_experiments(max_results=2)) == 2, "max_results")


@check("what can't be logged")
def _(client, _):
    run_id = client.create_run("0").info.run_id
    client.log_param(run_id, "p", "1")
    client.log_param(run_id, "p", "1")
    refused("INVALID_PARAMETER_VALUE", "can't be changed", lambda: client._tracking_client.store.log_param(run_id, Param("p", "2")))
    store = client._tracking_client.store
    refused("INVALID_PARAMETER_VALUE", "6000", lambda: store.log_param(run_id, Param("long", "x" * 6001)))
    refused("INVALID_PARAMETER_VALUE", "250", lambda: store.log_param(run_id, Param("k" * 251, "x")))
    refused("INVALID_PARAMETER_VALUE", "normal path", lambda: store.log_param(run_id, Param("../p", "x")))
    many = [Metric("m", 1.0, i, i) for i in range(1001)]
    refused("INVALID_PARAMETER_VALUE", "1000", lambda: store.log_batch(run_id, many, [], []))
    many = [Param(f"q{i}", "x") for i in range(101)]
    refused("INVALID_PARAMETER_VALUE", "100", lambda: store.log_batch(run_id, [], many, []))
    half = [Param("q", "x"), Param("p", "other")]
    refused("INVALID_PARAMETER_VALUE", "can't be changed", lambda: store.log_batch(run_id, [Metric("m", 1.0, 1, 1)], half, []))
    equal(client.get_run(run_id).data.params, {"p": "1"}, "nothing of a refused batch")
    equal(client.get_run(run_id).data.metrics, {})
    refused("RESOURCE_DOES_NOT_EXIST", "no run", lambda: store.get_run("f" * 32))


@check("what this hub doesn't keep is said so")
def _(client, model):
    with mlflow.start_run() as active, tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder) / "a.txt"
        path.write_text("x")
        try:
            mlflow.log_artifact(str(path))
        except Exception as error:  # noqa: BLE001: the client's own, by kind of HTTP failure
            holds("501" in str(error), str(error))
        else:
            raise AssertionError("was kept")
    equal(client.list_artifacts(active.info.run_id), [])
    refused("NOT_IMPLEMENTED", "tidegate model publish", lambda: client.create_registered_model("mine"))
    refused("NOT_IMPLEMENTED", "tidegate model publish", lambda: client.set_registered_model_alias(model, "champion", "1"))
    refused("NOT_IMPLEMENTED", "tidegate model publish", lambda: client.delete_model_version(model, "1"))
    refused("ENDPOINT_NOT_FOUND", "docs/mlflow.md", lambda: client._tracking_client.store.get_trace_info("tr-0"))


@check("a registered model and its versions")
def _(client, model):
    found = client.get_registered_model(model)
    equal(found.name, model)
    holds(found.description, "description")
    (latest,) = found.latest_versions
    equal((latest.version, latest.status, latest.current_stage), ("1", "READY", "None"))
    ((alias, version),) = found.aliases.items()
    equal(version, "1")
    equal(client.get_model_version_by_alias(model, alias).version, "1")
    one = client.get_model_version(model, "1")
    holds(one.tags["tidegate.digest"].startswith("sha256:"), one.tags)
    equal(one.aliases, [alias])
    holds(one.creation_timestamp > 1.6e12, "milliseconds")
    equal([v.version for v in client.get_latest_versions(model)], ["1"])
    equal([v.version for v in client.search_model_versions(f"name='{model}'")], ["1"])
    equal([v.version for v in client.search_model_versions(f"name='{model}' and version_number > 1")], [])
    equal([m.name for m in client.search_registered_models(f"name LIKE '{model[:3]}%'", order_by=["name DESC"])], [model])
    holds(model in [m.name for m in client.search_registered_models()], "in the list of all")
    refused("RESOURCE_DOES_NOT_EXIST", "nosuch", lambda: client.get_registered_model("nosuch"))
    refused("RESOURCE_DOES_NOT_EXIST", "99", lambda: client.get_model_version(model, "99"))
    refused("RESOURCE_DOES_NOT_EXIST", "nosuch", lambda: client.get_model_version_by_alias(model, "nosuch"))


@check("the files of a version")
def _(client, model):
    uri = client.get_model_version_download_uri(model, "1")
    names = {pathlib.PurePosixPath(f.path).name: f.file_size for f in mlflow.artifacts.list_artifacts(uri)}
    holds(names["model.yaml"] > 100, names)
    with tempfile.TemporaryDirectory() as folder:
        at = pathlib.Path(mlflow.artifacts.download_artifacts(f"models:/{model}/1", dst_path=folder))
        yaml = (at / "model.yaml").read_text()
        holds(f"name: {model}" in yaml, yaml)
        equal(sorted(p.relative_to(at).as_posix() for p in at.rglob("*") if p.suffix == ".onnx"), [f"{model}.onnx"])


run(MlflowClient(), sys.argv[1])
