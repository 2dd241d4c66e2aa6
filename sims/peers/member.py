"""A member of a group, as kafka-python has it: see `peers.rs`.

Arguments: bootstrap servers, group, topic, settings as key=value.
"""

import struct
import sys
import threading

from kafka import KafkaConsumer
from kafka.coordinator.assignors.cooperative_sticky import CooperativeStickyAssignor
from kafka.coordinator.assignors.range import RangePartitionAssignor
from kafka.coordinator.assignors.roundrobin import RoundRobinPartitionAssignor

ASSIGNORS = {
    "range": RangePartitionAssignor,
    "roundrobin": RoundRobinPartitionAssignor,
    "cooperative-sticky": CooperativeStickyAssignor,
}


def say(line):
    print(line, flush=True)


def main():
    bootstrap, group, topic, *rest = sys.argv[1:]
    settings = dict(pair.split("=", 1) for pair in rest)
    stop = threading.Event()

    def watch():
        sys.stdin.read()
        stop.set()

    threading.Thread(target=watch, daemon=True).start()
    consumer = KafkaConsumer(
        bootstrap_servers=bootstrap,
        group_id=group,
        auto_offset_reset="earliest",
        enable_auto_commit=False,
        session_timeout_ms=int(settings.get("session.timeout.ms", 10000)),
        heartbeat_interval_ms=int(settings.get("heartbeat.interval.ms", 3000)),
        partition_assignment_strategy=[
            ASSIGNORS[settings.get("partition.assignment.strategy", "range")]
        ],
    )
    consumer.subscribe([topic])
    told = None
    while not stop.is_set():
        polled = consumer.poll(timeout_ms=50)
        owned = sorted(partition.partition for partition in consumer.assignment())
        if owned != told:
            told = owned
            say("owns " + ",".join(map(str, owned)))
        for records in polled.values():
            for record in records:
                (key,) = struct.unpack(">q", record.key)
                say(f"read {record.partition} {record.offset} {key}")
        if polled:
            try:
                consumer.commit()
            except Exception as problem:  # The next owner reads them again.
                say(f"note {type(problem).__name__}")
    consumer.close()
    say("closed")


main()
