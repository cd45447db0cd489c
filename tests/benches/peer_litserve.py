"""The LitServe server that sac-serving is compared with: peer_litserve.py CHECKPOINT PORT. It loads its file once."""

import sys

import litserve
import torch
from actor import load_actor


class Policy(litserve.LitAPI):
    def setup(self, device):
        torch.set_num_threads(1)
        self.actor, _ = load_actor(sys.argv[1], jit=False)

    def decode_request(self, request):
        return torch.tensor([request["state"]])

    @torch.inference_mode()
    def predict(self, state):
        return torch.tanh(self.actor(state)[0])[0].tolist()

    def encode_response(self, action):
        return {"action": action[0] if len(action) == 1 else action}


if __name__ == "__main__":
    server = litserve.LitServer(Policy(api_path="/sac/predict"), accelerator="cpu", workers_per_device=1)
    server.run(host="127.0.0.1", port=int(sys.argv[2]), generate_client_file=False, log_level="warning")
