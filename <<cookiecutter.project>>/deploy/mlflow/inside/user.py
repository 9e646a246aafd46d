"""`user.py NAME`: give the user the password from standard input, as JSON, and make the user where there is none.

It writes where the server reads, so that a lost password of the administrator is no loss.
"""

import json
import sys

from migrate import URI
from mlflow.server.auth.sqlalchemy_store import SqlAlchemyStore

name, password = sys.argv[1], json.load(sys.stdin)["password"]
users = SqlAlchemyStore()
users.init_db(URI)
if users.has_user(name):
    users.update_user(name, password)
    print(f"{name} has a new password")
else:
    users.create_user(name, password, is_admin=name == "admin")
    print(f"{name} is a new user")
