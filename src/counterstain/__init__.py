"""Virtual multiplex immunofluorescence and cell counts from ordinary immunohistochemistry images."""

import os

# Slides are patient data: ONNX Runtime reads this when it is first imported, and then neither records nor reports its use.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
