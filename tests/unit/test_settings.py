"""What is said of settings that cannot be used."""

from __future__ import annotations

import pytest

from tailrace.runtime.config import ProcessSettings, SettingsError, load_settings


@pytest.mark.parametrize(
    "url", ["http://user:SECRET@host:0", "ftp://SECRET@host", "http://u:SECRET%40@h:1/?a=b@c"]
)
def test_credentials_in_a_url_are_not_shown(url: str) -> None:
    with pytest.raises(SettingsError, match="TAILRACE_TRACES_ENDPOINT: expected") as refused:
        load_settings(ProcessSettings, traces_endpoint=url)
    assert "SECRET" not in str(refused.value)
    assert url.rpartition("@")[2] in str(refused.value)
