"""Where settings come from, which wins, and what a wrong one says."""

import pickle
from pathlib import Path

import pytest

from options.load import load, require
from transforms.errors import SettingsError

_SECRET = "marked-secret"


def test_flags_win_over_environment_over_dotenv_over_yaml(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    config = tmp_path / "config.yaml"
    config.write_text("DB_NAME: yaml\ndb_host: yaml\nDB_USER: yaml\nkafka_group_id: yaml\n")
    (tmp_path / ".env").write_text("DB_NAME=dotenv\nDB_HOST=dotenv\nDB_USER=dotenv\n")
    monkeypatch.setenv("DB_NAME", "environment")
    monkeypatch.setenv("DB_HOST", "environment")
    settings = load([f"--config={config}", "--db_name=flag"]).settings
    assert (settings.db_name, settings.db_host) == ("flag", "environment")
    assert (settings.db_user, settings.kafka_group_id) == ("dotenv", "yaml")


def test_user_and_password_come_from_the_secret_files(tmp_path: Path) -> None:
    (tmp_path / "username").write_text("clearing\n")
    (tmp_path / "password").write_text(f"{_SECRET}\n")
    settings = load([f"--secret_dir={tmp_path}"]).settings
    assert settings.db_user == "clearing"
    assert settings.db_password.get_secret_value() == _SECRET
    assert settings.postgres()["password"] == _SECRET


@pytest.mark.parametrize(
    ("variables", "topics"),
    [
        ({}, ("topic.clearance",)),
        ({"TOPIC_EVENT": "a"}, ("a",)),
        ({"TOPIC_EVENT": "a, b"}, ("a", "b")),
        ({"TOPIC_EVENT_01": "b", "TOPIC_EVENT_00": "a"}, ("a", "b")),
        ({"TOPIC_EVENT": "a", "TOPIC_EVENT_00": "b", "TOPIC_EVENT_01": "a"}, ("a", "b")),
        ({"TOPIC_EVENT": ""}, ("topic.clearance",)),
    ],
)
def test_several_topics_are_numbered(
    variables: dict[str, str], topics: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert load([]).settings.topic_event == topics


def test_numbered_topics_work_in_a_yaml_file(tmp_path: Path) -> None:
    config = tmp_path / "config.yaml"
    config.write_text("TOPIC_EVENT_00: a\nTOPIC_EVENT_01: b\nPORT: 7007\n")
    assert load([f"--config={config}"]).settings.topic_event == ("a", "b")


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        ("--db_port=abc", "--db_port (DB_PORT): Input should be a valid integer"),
        ("--db_port=0", "got '0'"),
        ("--kafka_broker_1=nonsense", "--kafka_broker_1 (KAFKA_BROKER_1): expected HOST:PORT"),
        ("--kafka_protocol=HTTP", "--kafka_protocol (KAFKA_PROTOCOL): "),
        ("--topic_event=a b", "--topic_event (TOPIC_EVENT): a topic's name"),
        ("--topic_event=", "--topic_event (TOPIC_EVENT): a topic's name"),
        ("--start=yesterday", "--start (START): expected earliest, latest, or a time"),
        ("--start=2025-10-27T03:04:36", "--start (START): expected earliest"),
        ("--start=2025-13-27T03:04:36Z", "--start (START): month must be in 1..12"),
        ("--until_end=perhaps", "--until_end (UNTIL_END): "),
        ("--kafka_mechanism=FOO", "--kafka_mechanism (KAFKA_MECHANISM): "),
        ("--batch_rows=0", "--batch_rows (BATCH_ROWS): "),
        ("--log_level=loud", "--log_level (LOG_LEVEL): "),
        ("--port=70000", "--port (PORT): "),
        ("--otel_exporter_otlp_endpoint=http://u:p@h:1", "expected HOST:PORT, or http://"),
        ("--otel_traces_sampler=often", "--otel_traces_sampler (OTEL_TRACES_SAMPLER): "),
        ("--otel_traces_sampler_arg=2", "--otel_traces_sampler_arg (OTEL_TRACES_SAMPLER_ARG): "),
        ("--kafka_protocol=SASL_SSL", "KAFKA_PROTOCOL SASL_SSL needs KAFKA_USER"),
        ("--config=/nowhere", "--config /nowhere: No such file"),
        ("--db_prt=1", "--db_prt: unknown flag; did you mean --db_port?"),
        ("--direct_num_workers=2", "--direct_num_workers: only 1 streams, got 2"),
        ("--direct_running_mode=multi_threading", "--direct_running_mode: only in_memory streams"),
        ("stray", "unexpected argument 'stray'"),
    ],
)
def test_a_wrong_setting_is_one_line(argument: str, message: str) -> None:
    with pytest.raises(SettingsError) as error:
        load([argument])
    [line] = str(error.value).splitlines()
    assert message in line


def test_several_wrong_settings_are_a_line_each() -> None:
    with pytest.raises(SettingsError) as error:
        load(["--db_port=abc", "--batch_rows=x"])
    assert len(str(error.value).splitlines()) == 2


def test_a_yaml_value_is_its_text(tmp_path: Path) -> None:
    config = tmp_path / "config.yaml"
    config.write_text(
        "start: 2025-10-27T03:04:36Z\ndb_password: 0123\nuntil_end: true\ndb_port: 1\n"
        "db_name:\ntopic_event: [a, b]\n"
    )
    settings = load([f"--config={config}"]).settings
    assert (settings.start, settings.until_end) == ("2025-10-27T03:04:36Z", True)
    assert settings.db_password.get_secret_value() == "0123"
    assert (settings.db_port, settings.db_name) == (1, "postgres")
    assert settings.topic_event == ("a", "b")


def test_a_dotenv_file_that_is_not_utf_8_is_named(tmp_path: Path) -> None:
    (tmp_path / ".env").write_bytes(b"DB_NAME=\xff\n")
    with pytest.raises(SettingsError, match=".env: not UTF-8"):
        load([])


@pytest.mark.parametrize(
    "content", ["a: [", "- a", "no_such_setting: 1", "db_pasword: x", "db_port: [1]"]
)
def test_a_wrong_yaml_file_is_named(content: str, tmp_path: Path) -> None:
    config = tmp_path / "config.yaml"
    config.write_text(content)
    with pytest.raises(SettingsError, match="config.yaml: "):
        load([f"--config={config}"])


@pytest.mark.parametrize("flag", ["--db_password", "--kafka_password"])
@pytest.mark.parametrize("joined", [True, False])
@pytest.mark.parametrize("runner", ["DirectRunner", "FlinkRunner"])
def test_a_secret_is_no_flag_and_is_not_shown(flag: str, joined: bool, runner: str) -> None:
    argv = [f"{flag}={_SECRET}"] if joined else [flag, _SECRET]
    argv.append(f"--runner={runner}")
    with pytest.raises(SettingsError, match="process list") as error:
        load(argv)
    assert _SECRET not in str(error.value)


def test_flags_of_another_runner_pass_through() -> None:
    loaded = load(["--runner=FlinkRunner", "--only_the_runner_knows=1"])
    assert loaded.runner == "FlinkRunner"


def test_the_runners_name_is_taken_as_beam_takes_it() -> None:
    assert load(["--runner=directrunner"]).runner == "DirectRunner"


def test_beams_own_flags_are_known() -> None:
    assert load(["--job_name=x", "--direct_num_workers=1"]).settings


def test_settings_without_a_usable_default_are_required() -> None:
    with pytest.raises(SettingsError, match="--db_host .DB_HOST.: required"):
        require(load([]).settings, "db_host")


def test_what_travels_to_workers_holds_no_secret_and_finds_it_there(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("DB_PASSWORD", _SECRET)
    monkeypatch.setenv("KAFKA_PASSWORD", _SECRET)
    monkeypatch.setenv("DB_USER", "submitter")
    loaded = load(["--db_name=n"])
    travels = pickle.dumps(loaded.workers)
    assert _SECRET.encode() not in travels
    assert _SECRET not in repr(loaded.settings)
    assert _SECRET not in str(loaded.beam.get_all_options())
    monkeypatch.setenv("DB_PASSWORD", "of-the-worker")
    monkeypatch.setenv("DB_USER", "worker")
    monkeypatch.setenv("DB_NAME", "another")
    there = pickle.loads(travels).read()
    assert there.db_password.get_secret_value() == "of-the-worker"
    assert (there.db_user, there.db_name) == ("worker", "n")


def test_the_brokers_are_joined() -> None:
    settings = load(["--kafka_broker_1=a:1", "--kafka_broker_3=b:2"]).settings
    assert settings.kafka()["bootstrap.servers"] == "a:1,b:2"


def test_sasl_reaches_librdkafka(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KAFKA_PASSWORD", _SECRET)
    flags = ["--kafka_protocol=sasl_ssl", "--kafka_user=u", "--kafka_mechanism=SCRAM-SHA-512"]
    config = load(flags).settings.kafka()
    assert config["security.protocol"] == "SASL_SSL"
    assert (config["sasl.username"], config["sasl.password"]) == ("u", _SECRET)
    assert config["sasl.mechanism"] == "SCRAM-SHA-512"
