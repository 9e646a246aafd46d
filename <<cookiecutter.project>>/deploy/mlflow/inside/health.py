"""Exit 0 where the server answers and reaches its database: it has to look there to refuse a user it does not know."""

import sys
import urllib.error
import urllib.request

request = urllib.request.Request("http://127.0.0.1:5000/api/2.0/mlflow/users/current")
request.add_header("Authorization", "Basic aGVhbHRoOm5vYm9keQ==")  # health:nobody
try:
    urllib.request.urlopen(request, timeout=8)  # noqa: S310
except urllib.error.HTTPError as error:
    sys.exit(0 if error.code == 401 else f"the server answers {error.code}")
sys.exit("the server lets a stranger in")
