"""A client on a flaky network: it gives up in time, and works again as soon as the network does."""
import os, socket
import pytest
from toxiproxy import Toxiproxy

@pytest.fixture
def redis():
    toxiproxy = Toxiproxy()
    toxiproxy.update_api_consumer(*os.environ.get("FAULTS_API", "127.0.0.1:8474").split(":"))
    proxy = toxiproxy.create(name="redis", upstream=os.environ.get("REDIS", "127.0.0.1:6379"))
    yield proxy
    proxy.destroy()

def ping(proxy):
    with socket.create_connection(proxy.listen.split(":"), timeout=0.3) as client:
        client.sendall(b"PING\r\n")
        return client.recv(7)

@pytest.mark.parametrize("fault, error", [("latency", TimeoutError), ("reset_peer", ConnectionResetError)])
def test_a_flaky_network(redis, fault, error):
    redis.add_toxic(type=fault, attributes={"latency": 500} if fault == "latency" else {})
    with pytest.raises(error):
        ping(redis)
    redis.destroy_toxic(f"{fault}_downstream")
    assert ping(redis) == b"+PONG\r\n"
