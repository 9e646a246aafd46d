"""`python -I -S service/health.py [PORT]`: ends with 0 where the service of this machine says that it is ready.

The health check of the image, which has neither a shell nor curl. Isolated and without `site` it starts in 20 ms.
"""

import socket
import sys


def ready(port: int) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=2) as connection:
            connection.sendall(b"GET /readyz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
            return connection.recv(64).split(b" ")[1:2] == [b"200"]
    except OSError:
        return False


if __name__ == "__main__":
    sys.exit(not ready(int(sys.argv[1]) if len(sys.argv) > 1 else 3000))
