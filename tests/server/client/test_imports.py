"""The client is light: importing it loads neither the server nor a library for HTTP or arrays."""

from tests.server.test_layers import loaded_after

NOT_FOR_IMPORT = {"numpy", "PIL", "fastapi", "uvicorn", "httpx", "websockets", "ormsgpack", "pydantic", "cv2", "orjson"}


def test_importing_the_client_loads_only_the_client() -> None:
    loaded = loaded_after(
        "import server.client, sys\n"
        "others = [m for m in sys.modules if m.startswith('server.') and not m.startswith('server.client')]\n"
        "assert others == [], others"
    )
    assert sorted(loaded & {*NOT_FOR_IMPORT, "model_zoo"}) == []


def test_a_prediction_needs_no_websocket_library() -> None:
    code = "from server.client import Client\nassert not Client('http://127.0.0.1:1').ready()"
    assert sorted(loaded_after(code) & (NOT_FOR_IMPORT - {"httpx"})) == []
