"""A service in a folder of its own, and one with a result."""

import pytest
from fastapi.testclient import TestClient
from web_service import as_png, do_all, picture, send

from counterstain.web.app import make_app
from counterstain.web.settings import ServiceSettings


@pytest.fixture(scope="session")
def png():
    return as_png(picture())


@pytest.fixture
def settings(tmp_path):
    return ServiceSettings(data=tmp_path / "data", bundle="classical", hosts=("testserver", "127.0.0.1"))


@pytest.fixture
def client(settings):
    with TestClient(make_app(settings)) as found:
        yield found


@pytest.fixture(scope="session")
def served(tmp_path_factory, png):
    """A client, and the number of a job that is done."""
    data = tmp_path_factory.mktemp("service")
    settings = ServiceSettings(data=data, bundle="classical", hosts=("testserver",))
    with TestClient(make_app(settings)) as found:
        upload = send(found, png).json()["upload_id"]
        job = found.post("/api/v1/jobs", json={"upload_id": upload, "options": {"mpp": 0.25}}).json()["job_id"]
        do_all(found.app.state.service)
        yield found, job
