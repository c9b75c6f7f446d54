"""What tests of the web service share: a drawn image, an upload, and a worker in this thread."""

import io
import threading

import numpy as np
from PIL import Image

from counterstain.web.store.queue import claim
from counterstain.web.working.worker import do_job


def picture(height=300, width=700):
    """Return (h, w, 3) uint8: brown and blue discs, 80 px apart."""
    rows, cols = np.mgrid[:height, :width]
    image = np.full((height, width, 3), 235, np.uint8)
    for row in range(60, height - 20, 80):
        for col in range(60, width - 20, 80):
            image[(rows - row) ** 2 + (cols - col) ** 2 < 150] = (90, 50, 20) if (col // 80) % 2 else (90, 100, 180)
    return image


def as_png(image):
    content = io.BytesIO()
    Image.fromarray(image).save(content, "PNG")
    return content.getvalue()


def do_all(service):
    """Do every job of the queue in this thread."""
    while claimed := claim(service.engine, service.settings.lease_s):
        do_job(service.settings, service.engine, claimed, threading.Event())


def send(client, content, name="field.png"):
    """Upload an image at once and return the last answer."""
    found = client.post("/api/v1/uploads", json={"name": name, "size_bytes": len(content)})
    assert found.status_code == 201, found.text
    return client.patch(f"/api/v1/uploads/{found.json()['upload_id']}", content=content, headers={"Upload-Offset": "0"})
