"""Asks a server by a client of the Open Inference Protocol, and compares its actions with those of /sac/predict.

    python clients.py tritonclient.http|kserve HOST:PORT
"""

import asyncio
import json
import sys
import urllib.request

import numpy as np

MODEL = "pendulum"
STATES = np.array([[0.1, 0.2, 0.3], [-1.0, 0.0, 2.5]], dtype=np.float32)


def predicted(address):
    request = urllib.request.Request(
        f"http://{address}/sac/predict/batch", data=json.dumps({"states": STATES.tolist()}).encode()
    )
    with urllib.request.urlopen(request) as response:
        return np.array(json.load(response)["actions"], dtype=np.float32).reshape(len(STATES), -1)


def with_tritonclient(address):
    import tritonclient.http as http
    from tritonclient.utils import InferenceServerException

    client = http.InferenceServerClient(address)
    assert client.is_server_live() and client.is_server_ready() and client.is_model_ready(MODEL)
    assert "binary_tensor_data" in client.get_server_metadata()["extensions"]
    metadata = client.get_model_metadata(MODEL)
    assert [tensor["name"] for tensor in metadata["inputs"]] == ["state"], metadata
    expected = predicted(address)
    for binary in (True, False):
        state = http.InferInput("state", STATES.shape, "FP32")
        state.set_data_from_numpy(STATES, binary_data=binary)
        action = http.InferRequestedOutput("action", binary_data=binary)
        answer = client.infer(MODEL, [state], outputs=[action])
        assert np.array_equal(answer.as_numpy("action"), expected), (answer.as_numpy("action"), expected)
        assert answer.get_response()["model_version"] == metadata["versions"][0]
    draws = [
        client.infer(MODEL, [state], parameters={"deterministic": False, "seed": 7}).as_numpy("action")
        for _ in range(2)
    ]
    assert np.array_equal(*draws) and not np.array_equal(draws[0], expected)
    try:
        client.infer("nobody", [state])
        raise AssertionError("another model has an answer")
    except InferenceServerException as error:
        assert error.status() == "404", error


async def with_kserve(address):
    from kserve import InferInput, InferRequest, InferenceRESTClient, RESTConfig

    client = InferenceRESTClient(RESTConfig(protocol="v2"))
    base = f"http://{address}"
    assert await client.is_server_live(base) and await client.is_server_ready(base)
    assert await client.is_model_ready(base, MODEL)
    expected = predicted(address)
    for binary in (True, False):
        state = InferInput("state", list(STATES.shape), "FP32")
        state.set_data_from_numpy(STATES, binary_data=binary)
        answer = await client.infer(base, InferRequest(model_name=MODEL, infer_inputs=[state]), model_name=MODEL)
        assert np.array_equal(answer.outputs[0].as_numpy(), expected), answer


client, address = sys.argv[1:]
if client == "kserve":
    asyncio.run(with_kserve(address))
else:
    with_tritonclient(address)
print(client, "agrees")
