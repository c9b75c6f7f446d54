from importlib.metadata import version

from counterstain import versions


def test_a_package_that_is_not_installed_is_missing(monkeypatch):
    monkeypatch.setattr(versions, "PACKAGES", ("numpy", "no-such-package"))
    assert versions.package_versions() == {"numpy": version("numpy"), "no-such-package": "missing"}
