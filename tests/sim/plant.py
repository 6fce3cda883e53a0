#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Plants a bug in a copy of a product file, for the simulation to find: plant.py BUG ROOT OUT. Without arguments: the
names of the bugs and their files. A bug whose place in the product is gone is an error here, not a test that proves
nothing."""
import pathlib
import sys

BUGS = {
    "no_fencing": ("sink/handshake.cc", [(
        "for (const ListedClient& other : others) {\n    // An id alone",
        "others.clear();\n  for (const ListedClient& other : others) {\n    // An id alone")]),
    "load_before_exchange": ("sink/price_sink.cc", [
        ("MonoNs oldest = core_.dirty->Begin(id);", "MonoNs oldest{core_.table->DirtySinceNs(id).load()};"),
        ("  Send(ready, outbox, now);\n}", "  Send(ready, outbox, now);\n  core_.dirty->Begin(id);\n}")]),
    "acknowledgements_off_by_one": ("sink/lane.cc", [(
        "const InFlight entry = outbox_.Pop();",
        "const InFlight entry = outbox_.Pop();\n  if (reply.kind == ServerReply::Kind::kStatus && !outbox_.empty()) "
        "Settle(outbox_.Pop(), LaneCounts::End::kWritten, now);")]),
    "lifetime_not_shortened": ("sink/price_sink.cc", [(
        "LifetimeOf(price_.ttl_ns, AgeNs(quote, now),", "LifetimeOf(price_.ttl_ns, 0,")]),
    "lost_writes_leak": ("sink/price_sink.cc", [(
        "core_.dirty->Mark(options_.producer, id, entry.oldest);\n}\n\nvoid PriceSink::Resync",
        "}\n\nvoid PriceSink::Resync")]),
    "no_resync": ("sink/lane.cc", [("if (other_server) {", "if (false && other_server) {")]),
    "other_lanes_not_fenced": ("sink/handshake.cc", [("(of_instance && !IsOwn(client))", "(false && of_instance)")]),
    "refused_batch_settled": ("sink/lane.cc", [(
        "prices_.OnBatchRefused(key);", "Settle(key, LaneCounts::End::kWritten, now);")]),
    "no_read_back": ("sink/price_sink.cc", [(
        "options.restore != nullptr ? ReadBack::kNotYet", "false ? ReadBack::kNotYet")]),
    "deletes_forgotten": ("sink/document_sink.cc", [(
        "core_.documents->Requeue(id, entry.oldest);\n}\n\nvoid DocumentSink::Resync",
        "}\n\nvoid DocumentSink::Resync")]),
}


def main():
    if len(sys.argv) == 1:
        print(";".join(f"{name}={file}" for name, (file, _) in BUGS.items()))
        return
    name, root, out = sys.argv[1:]
    file, changes = BUGS[name]
    text = (pathlib.Path(root) / file).read_text()
    for before, after in changes:
        if before not in text:
            sys.exit(f"plant.py: {name}: {file} has no {before!r} any more")
        text = text.replace(before, after)
    pathlib.Path(out).write_text(text)


main()
