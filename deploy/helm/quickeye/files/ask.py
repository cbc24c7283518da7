"""helm test: ask the server at the address given for one answer, as a caller would."""

import io
import os
import sys

from PIL import Image

from server.client import Client

picture = io.BytesIO()
Image.new("RGB", (320, 240), (180, 60, 30)).save(picture, "JPEG")
key = os.environ.get("API_KEYS", "").partition(",")[0] or None
with Client(sys.argv[1], key=key, retries=3, proxies=False) as client:
    if not client.ready():
        sys.exit("the server is not ready")
    for model in client.models():
        if model.version is not None:
            print(model.name, client.predict(picture.getvalue(), model=model.name).best)
