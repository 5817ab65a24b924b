"""Variables that look like settings and are none, as Docker and systemd pass them on."""

from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from pinguin_cli import settings
from pinguin_cli.settings import ClientSettings, ServerSettings, SettingsError

Environment = Callable[[Mapping[str, str]], None]

GOOD = {
    "NOTIFICATION_AUTH_TOKEN": "s3cret-t0ken",
    "SMTP_HOST": "smtp.example.com",
    "FROM_EMAIL": "pinguin@example.com",
}
MISSPELT = {
    "SMS_PER_DAYS": "SMS_PER_DAY",
    "SMTP_TSL": "SMTP_TLS",
    "SMTP_USER": "SMTP_USERNAME",
    "SMTP_PASSWORD_FILE": "SMTP_PASSWORD",
    "twilio_auth_token": "TWILIO_AUTH_TOKEN",
    "STMP_PORT": "SMTP_PORT",
    "MAX_RETRY": "MAX_RETRIES",
    "DATABASE_URI": "DATABASE_URL",
    "TWILIO_PHONE_NUMBER": "TWILIO_FROM_NUMBER",
    "GRPC_TLS_CERT": "GRPC_TLS_CERT_FILE",
    "RETRY_INTERVAL": "RETRY_INTERVAL_SEC",
    "PINGUIN_ON_AMBIGUOUS": "ON_AMBIGUOUS",
}
STRANGERS = (
    "DATABASE_HOST",
    "DATABASE_PORT",
    "DATABASE_USER",
    "EMAIL_HOST",
    "FROM_NAME",
    "NOTIFICATION_URL",
    "SMS_FROM",
    "TWILIO_API_KEY",
)
GRPCS_OWN = (
    "GRPC_DEFAULT_SSL_ROOTS_FILE_PATH",
    "GRPC_DNS_RESOLVER",
    "GRPC_ENABLE_FORK_SUPPORT",
    "GRPC_EXPERIMENTS",
    "GRPC_GO_LOG_SEVERITY_LEVEL",
    "GRPC_NODE_VERBOSITY",
    "GRPC_NOT_USE_SYSTEM_SSL_ROOTS",
    "GRPC_POLL_STRATEGY",
    "GRPC_PROXY_EXP",
    "GRPC_SSL_CIPHER_SUITES",
    "GRPC_SYSTEM_SSL_ROOTS_DIR",
    "GRPC_TRACE",
    "GRPC_VERBOSITY",
    "GRPC_XDS_BOOTSTRAP",
)
OTHERS = ("APP_LOG_LEVEL", "MAX_CONNECTIONS", "PINGUIN_SEED", "TEST_DATABASE_URL")


@pytest.mark.parametrize(("name", "meant"), MISSPELT.items())
def test_a_misspelt_setting_stops_the_start(
    set_environment: Environment, name: str, meant: str
) -> None:
    """It would be missing, and nobody would know: a limit, or encryption."""
    set_environment({**GOOD, name: "hush"})
    with pytest.raises(SettingsError) as caught:
        ServerSettings.read()
    (problem,) = caught.value.problems
    assert problem.startswith(f"{name}: is not a setting; did you mean {meant}? ")
    assert "hush" not in problem


@pytest.mark.parametrize("value", ["0", ""])
def test_beside_the_setting_it_is_another_programs(
    set_environment: Environment, value: str
) -> None:
    set_environment({**GOOD, "MAX_RETRIES": value, "MAX_RETRY": "3"})
    ServerSettings.read()
    assert "MAX_RETRY" in settings.strangers()


def test_the_setting_may_be_in_the_file(set_environment: Environment, tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("MAX_RETRIES=1\n")
    set_environment({**GOOD, "MAX_RETRY": "3"})
    assert ServerSettings.read().max_retries == 1


def test_an_empty_one_means_nothing(set_environment: Environment) -> None:
    set_environment({**GOOD, "SMTP_TSL": "", "SMTP_GREETING": ""})
    ServerSettings.read()
    assert not {"SMTP_TSL", "SMTP_GREETING"} & set(settings.strangers())


def test_clients_and_service_mind_their_own(set_environment: Environment) -> None:
    set_environment({**GOOD, "SMS_PER_DAYS": "1"})
    ClientSettings.read()
    set_environment({"SMS_PER_DAYS": "", "GRPC_SERVER_TSL": "1"})
    ServerSettings.read()
    with pytest.raises(SettingsError, match="GRPC_SERVER_TSL"):
        ClientSettings.read()


def test_strangers_are_let_in_and_listed(set_environment: Environment) -> None:
    set_environment({**GOOD, **dict.fromkeys((*STRANGERS, *OTHERS), "x")})
    ServerSettings.read()
    listed = settings.strangers()
    assert set(STRANGERS) <= set(listed)
    assert not set(OTHERS) & set(listed)
    assert listed == sorted(listed)


def test_variables_of_grpc_are_nothing_to_speak_of(
    set_environment: Environment, tmp_path: Path
) -> None:
    (tmp_path / ".env").write_text("".join(f"{name}=x\n" for name in GRPCS_OWN))
    set_environment({**GOOD, **dict.fromkeys(GRPCS_OWN, "x")})
    ServerSettings.read()
    ClientSettings.read()
    assert not set(GRPCS_OWN) & set(settings.strangers())


def service_links(service: str, port: int) -> dict[str, str]:
    """What Kubernetes sets in each container for a Service with one port that has a name."""
    address = f"tcp://10.0.0.1:{port}"
    return {
        f"{service}_SERVICE_HOST": "10.0.0.1",
        f"{service}_SERVICE_PORT": str(port),
        f"{service}_SERVICE_PORT_MAIN": str(port),
        f"{service}_PORT": address,
        f"{service}_PORT_{port}_TCP": address,
        f"{service}_PORT_{port}_TCP_PROTO": "tcp",
        f"{service}_PORT_{port}_TCP_PORT": str(port),
        f"{service}_PORT_{port}_TCP_ADDR": "10.0.0.1",
    }


@pytest.mark.parametrize(
    "service",
    ["DATABASE", "FROM_EMAIL", "GRPC_SERVER", "PINGUIN", "PINGUIN_SMTP", "SMTP_RELAY", "TWILIO"],
)
def test_what_kubernetes_sets_for_a_service_is_nothing_to_speak_of(
    set_environment: Environment, service: str
) -> None:
    links = service_links(service, 50051)
    set_environment({**GOOD, **links})
    ServerSettings.read()
    ClientSettings.read()
    assert not set(links) & set(settings.strangers())


@pytest.mark.parametrize("service", ["SMTP", "SMTP_FALLBACK"])
def test_where_kubernetes_sets_a_setting_the_way_out_is_told(
    set_environment: Environment, service: str
) -> None:
    links = service_links(service, 25)
    set_environment({**GOOD, **links})
    with pytest.raises(SettingsError) as caught:
        ServerSettings.read()
    (problem,) = caught.value.problems
    assert problem.startswith(f"{service}_PORT: must be a whole number from 1 to 65535; this is")
    assert "Kubernetes Service" in problem
    assert "enableServiceLinks: false" in problem
    assert "10.0.0.1" not in problem
    ClientSettings.read()

    set_environment({f"{service}_PORT": "2525", "SMTP_FALLBACK_HOST": "b.example.com"})
    ServerSettings.read()
    assert not set(links) & set(settings.strangers())
