"""Run the command line and kill this process for real in a stage: killed_audit.py MOMENT STAGE ARGUMENTS...

Moments: ``before`` the stage's work; at the second ``shard`` that it writes; once its files are ``written``, before
the manifest says so.
"""

import os
import signal
import sys

from anatomy.cli.app import main
from anatomy.data.shard_cache import ShardCache
from anatomy.runs.run import Run

moment, stage, *arguments = sys.argv[1:]
ordinary_stage, ordinary_write = Run.stage, ShardCache.write


def die(*_):
    os.kill(os.getpid(), signal.SIGKILL)


def write(self, number, table, **options):
    if number == 1:
        die()
    ordinary_write(self, number, table, **options)


def dying(self, name, depends, outputs, work, later):
    def killed():
        if moment == "before":
            die()
        if moment == "shard":
            ShardCache.write = write
        work()
        die()

    return ordinary_stage(self, name, depends, outputs, killed if name == stage else work, later)


Run.stage = dying
sys.exit(main(arguments))
