"""What the settings are when they are right."""

from collections.abc import Callable, Mapping
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from pinguin_cli.parsers import Address, listen_address
from pinguin_cli.settings import ClientSettings, SandboxSettings, ServerSettings

Environment = Callable[[Mapping[str, str]], None]

GOOD = {
    "NOTIFICATION_AUTH_TOKEN": "s3cret-t0ken",
    "SMTP_HOST": "smtp.example.com",
    "FROM_EMAIL": "pinguin@example.com",
}


def read(set_environment: Environment, **variables: str) -> ServerSettings:
    set_environment({**GOOD, **variables})
    return ServerSettings.read()


def test_the_defaults(set_environment: Environment) -> None:
    settings = read(set_environment)
    assert settings.database == "sqlite:///pinguin.db"
    assert settings.log_level == "INFO"
    assert settings.grpc_listen_addr == Address("localhost", 50051)
    assert (settings.max_retries, settings.retry_interval_sec) == (5, timedelta(seconds=30))
    assert settings.connection_timeout_sec == timedelta(seconds=5)
    assert settings.operation_timeout_sec == timedelta(seconds=30)
    assert (settings.smtp_port, settings.smtp_tls) == (587, "auto")
    assert settings.twilio_base_url == "https://api.twilio.com"


@pytest.mark.parametrize("name", ["NOTIFICATION_AUTH_TOKEN", "GRPC_AUTH_TOKEN"])
def test_the_token_goes_by_two_names(set_environment: Environment, name: str) -> None:
    set_environment({**GOOD, "NOTIFICATION_AUTH_TOKEN": "", name: "one, two"})
    assert ServerSettings.read().tokens == ["one", "two"]


def test_both_names_may_say_the_same(set_environment: Environment) -> None:
    assert read(set_environment, GRPC_AUTH_TOKEN="s3cret-t0ken").tokens == ["s3cret-t0ken"]


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("localhost:0", Address("localhost", 0)),
        ("127.0.0.1:65535", Address("127.0.0.1", 65535)),
        ("[::1]:50051", Address("::1", 50051)),
    ],
)
def test_where_to_listen(set_environment: Environment, text: str, address: Address) -> None:
    settings = read(set_environment, GRPC_LISTEN_ADDR=text)
    assert settings.grpc_listen_addr == address
    assert str(address) == text


@given(
    host=st.one_of(
        st.ip_addresses().map(str), st.from_regex(r"[a-z]{1,9}(\.[a-z]{1,9})?", fullmatch=True)
    ),
    port=st.integers(0, 65535),
)
def test_an_address_is_read_as_it_is_written(host: str, port: int) -> None:
    assert listen_address(str(Address(host, port))) == Address(host, port)


@pytest.mark.parametrize(
    "variables",
    [
        {"GRPC_ALLOW_PLAINTEXT": "1"},
        {"GRPC_TLS_CERT_FILE": "there.pem", "GRPC_TLS_KEY_FILE": "there.pem"},
    ],
)
def test_other_machines_may_connect_if_it_is_safe(
    set_environment: Environment, tmp_path: Path, variables: Mapping[str, str]
) -> None:
    (tmp_path / "there.pem").touch()
    settings = read(set_environment, GRPC_LISTEN_ADDR="0.0.0.0:50051", **variables)
    assert settings.grpc_listen_addr.host == "0.0.0.0"


@pytest.mark.parametrize(
    ("name", "value", "read_as"),
    [
        ("LOG_LEVEL", "warning", "WARN"),
        ("LOG_LEVEL", "debug", "DEBUG"),
        ("SMTP_TLS", "StartTLS", "starttls"),
        ("SMTP_HOST", "2001:db8::25", "2001:db8::25"),
        ("SMTP_HOST", "smtp.example.com.", "smtp.example.com."),
        ("SMTP_HOST", f"{'m' * 63}.example", f"{'m' * 63}.example"),
        ("RETRY_INTERVAL_SEC", "0.25", timedelta(milliseconds=250)),
        ("MAX_RETRIES", "0", 0),
        ("ON_AMBIGUOUS", "FAIL", "fail"),
        ("EMAIL_RATE_PER_SEC", "2.5", 2.5),
        ("SMS_RATE_PER_SEC", "10000", 10_000.0),
        ("SMS_ALLOWED_PREFIXES", "+1, +4930,+4", ("+1", "+4930", "+4")),
        ("SMS_PER_DAY", "1000000", 1_000_000),
        ("SMS_PER_RECIPIENT_PER_DAY", "1", 1),
        ("SMS_MAX_SEGMENTS", "3", 3),
        ("SMS_FOLD_TYPOGRAPHY", "yes", True),
        ("TWILIO_BASE_URL", "http://127.0.0.1:8080/", "http://127.0.0.1:8080"),
        ("TWILIO_BASE_URL", "http://[::1]:8080", "http://[::1]:8080"),
        ("TWILIO_BASE_URL", "https://proxy.example.com/twilio", "https://proxy.example.com/twilio"),
    ],
)
def test_forms_that_are_understood(
    set_environment: Environment, name: str, value: str, read_as: object
) -> None:
    assert getattr(read(set_environment, **{name: value}), name.lower()) == read_as


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("sqlite:////var/lib/pinguin@home.db", "sqlite:////var/lib/pinguin@home.db"),
        ("postgresql://db.example.com/x", "postgresql://db.example.com/x"),
        ("postgres://u:p@ss@db.example.com:5433/x", "postgres://db.example.com:5433/x"),
        ("postgresql+psycopg:///x?host=/run&password=p@ss", "postgresql+psycopg:///x"),
        ("mysql://u:p@ss@[::1]/x?ssl_ca=/etc/ca.pem", "mysql://[::1]/x"),
        ("mariadb+pymysql://u@db/x", "mariadb+pymysql://db/x"),
    ],
)
def test_databases_that_are_supported_are_shown_without_their_secrets(
    set_environment: Environment, url: str, shown: str
) -> None:
    settings = read(set_environment, DATABASE_URL=url)
    assert (settings.database, settings.shown_database) == (url, shown)
    assert "p@ss" not in repr(settings)


def test_the_url_of_the_database_wins_over_its_path(set_environment: Environment) -> None:
    settings = read(set_environment, DATABASE_PATH="a.db", DATABASE_URL="sqlite:///b.db")
    assert settings.database == "sqlite:///b.db"


def test_sms_says_what_it_misses(set_environment: Environment) -> None:
    settings = read(set_environment, TWILIO_ACCOUNT_SID="AC1", TWILIO_FROM_NUMBER="+15550100123")
    assert settings.missing_for_sms == ["TWILIO_AUTH_TOKEN"]
    assert settings.missing_for_email == []


def test_a_sandbox_needs_no_settings(set_environment: Environment) -> None:
    set_environment({})
    assert SandboxSettings.read().tokens == []


def test_clients_do_not_ask_for_the_settings_of_the_service(set_environment: Environment) -> None:
    set_environment({"NOTIFICATION_AUTH_TOKEN": "token", "SMTP_PORT": "none of their business"})
    assert ClientSettings.read().tokens == ["token"]


def test_secrets_are_in_no_repr(set_environment: Environment) -> None:
    settings = read(
        set_environment,
        SMTP_USERNAME="ada",
        SMTP_PASSWORD="hush-password",
        TWILIO_AUTH_TOKEN="hush-twilio",
        NOTIFICATION_AUTH_TOKEN="hush-token",
    )
    assert "hush" not in f"{settings!r} {settings}"


def test_nothing_changes_them(set_environment: Environment) -> None:
    settings = read(set_environment)
    with pytest.raises(ValidationError, match="frozen"):
        settings.max_retries = 7
