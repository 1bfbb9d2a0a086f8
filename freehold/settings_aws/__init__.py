"""What the environment tells each function on Lambda, validated once when the function starts.

The stacks fill in the same models, so a variable that a function reads and no stack sets is an
error of synthesis. A field `table_name` is the variable `FREEHOLD_TABLE_NAME`. No variable is a
secret: whoever may describe a function reads its environment.
"""

from freehold.settings_aws.environment import PREFIX, START, Environment
from freehold.settings_aws.functions import (
    FUNCTIONS,
    SANDBOX_FUNCTIONS,
    ApiEnvironment,
    FanOutEnvironment,
    FunctionEnvironment,
    LiveEnvironment,
    ServiceEnvironment,
    SessionsEnvironment,
    StoreEnvironment,
    StreamEnvironment,
    TurnEnvironment,
    WebSocketEnvironment,
)
from freehold.settings_aws.sandboxes import (
    EGRESS_CONTROL_PORT,
    EGRESS_PORT,
    SANDBOX_PORT,
    TOOLS_UID,
    DispatchEnvironment,
    FleetEnvironment,
    SlotsEnvironment,
    WorkspacesEnvironment,
)

__all__ = [
    "EGRESS_CONTROL_PORT",
    "EGRESS_PORT",
    "FUNCTIONS",
    "PREFIX",
    "SANDBOX_FUNCTIONS",
    "SANDBOX_PORT",
    "START",
    "TOOLS_UID",
    "ApiEnvironment",
    "DispatchEnvironment",
    "Environment",
    "FanOutEnvironment",
    "FleetEnvironment",
    "FunctionEnvironment",
    "LiveEnvironment",
    "ServiceEnvironment",
    "SessionsEnvironment",
    "SlotsEnvironment",
    "StoreEnvironment",
    "StreamEnvironment",
    "TurnEnvironment",
    "WebSocketEnvironment",
    "WorkspacesEnvironment",
]
