"""Makes the Parquet files of this folder. Needs pyarrow (made with 26.0.1):

    python3 -m venv venv && venv/bin/pip install pyarrow && venv/bin/python make.py
"""

import pathlib

import pyarrow as pa
import pyarrow.parquet as pq

HERE = pathlib.Path(__file__).parent
TEXTS = ["What is a joule?", "Grüße aus Köln, 東京 and 🌍.", "", None, "Two\nlines."]


def table(texts):
    """Text between other columns of many types, one of them nested."""
    rows = len(texts)
    return pa.table(
        {
            "id": pa.array(range(rows), pa.int64()),
            "score": pa.array([0.5] * rows, pa.float32()),
            "meta": pa.array(
                [{"tags": ["a", "b"], "inner": {"n": n}} for n in range(rows)],
                pa.struct({"tags": pa.list_(pa.string()), "inner": pa.struct({"n": pa.int32()})}),
            ),
            "text": pa.array(texts, pa.string()),
            "when": pa.array([0] * rows, pa.timestamp("us")),
            "raw": pa.array([b"\xff\xfe"] * rows, pa.binary()),
        }
    )


def chats():
    """Conversations, as most instruction datasets keep them."""
    message = pa.struct({"role": pa.string(), "content": pa.string()})
    rows = [
        [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hi"}],
        [{"role": "user", "content": "Name a river."}, {"role": "assistant", "content": "The Elbe."}],
        [],
        None,
    ]
    return pa.table({"messages": pa.array(rows, pa.list_(message)), "n": pa.array(range(4))})


def main():
    for name in ["none", "snappy", "zstd", "gzip"]:
        pq.write_table(table(TEXTS), HERE / f"plain_{name}.parquet", compression=name)
    # Several row groups, dictionary off, the newer data pages, and the large string type.
    many = table([f"Prompt {n}" for n in range(25)])
    schema = many.schema.set(3, pa.field("text", pa.large_string()))
    pq.write_table(
        many.cast(schema),
        HERE / "groups.parquet",
        row_group_size=10,
        use_dictionary=False,
        data_page_version="2.0",
        compression="snappy",
    )
    pq.write_table(chats(), HERE / "chats.parquet", compression="snappy")
    # The hub's layout: shards of a split, a second split.
    hub = HERE / "hub_layout" / "data"
    hub.mkdir(parents=True, exist_ok=True)
    for shard, texts in enumerate([["a0", "a1", "a2"], ["b0", "b1"]]):
        pq.write_table(table(texts), hub / f"train-{shard:05}-of-00002.parquet", compression="zstd")
    pq.write_table(table(["t0"]), hub / "test-00000-of-00001.parquet", compression="zstd")


if __name__ == "__main__":
    main()
