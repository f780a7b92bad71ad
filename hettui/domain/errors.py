"""One tree of errors. Every message is a sentence for the user: what, where, what to do.

Exit codes follow the command line's promise: 1 when the thing asked for failed, 2 for bad usage or
bad configuration.
"""


class HettuiError(Exception):
    """Anything hettui can name. The message is shown as it is, so it must be one or two lines."""

    exit_code = 1


class UsageError(HettuiError):
    """The command line asks for something that cannot be asked."""

    exit_code = 2


class ConfigError(HettuiError):
    """The configuration says something that hettui does not understand."""

    exit_code = 2


class ModelFileError(HettuiError):
    """A model file is missing, unreadable, or not the GGUF it claims to be."""


class EngineError(HettuiError):
    """The llama.cpp binaries are missing, cannot run here, or lack what is needed."""


class DoesNotFit(HettuiError):
    """A split needs more memory than a device's budget. Names the device and the missing MiB."""


class LaunchError(HettuiError):
    """A process did not start, did not become ready, or ended when it should not."""


class UnrecognisedError(LaunchError):
    """Something of ours runs that no record describes: nothing is started over it, unless it was asked to end."""


class HostError(HettuiError):
    """Another machine is not reached by ssh, or does not do what was asked of it."""

    def __init__(self, sentence: str, *, hopeless: bool = False, asks: bool = False) -> None:
        super().__init__(sentence)
        self.hopeless = hopeless
        """Asking again without a change meets the same."""
        self.asks = asks
        """A login that may ask somebody (a password, a host key, a token) would get further."""


class ServerError(HettuiError):
    """llama-server answered a request with an error, or stopped answering."""


class DoorError(HettuiError):
    """The front door does not answer its owner."""


class RecordingError(HettuiError):
    """A recording is missing, unreadable, damaged, or of a newer format. Names file, line and what is wrong."""


class ConnectionLost(ServerError):
    """The connection to llama-server broke off, or could not be made."""
