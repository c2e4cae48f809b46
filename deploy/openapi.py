#!/usr/bin/env python3
"""Makes deploy/openapi.json, the description (OpenAPI 3.0) of what sluiced answers below /api/.

    deploy/openapi.py            writes it
    deploy/openapi.py --check    exits with 1 if it is not what would be written

The schemas are the messages of protocol/admin.proto, with their comments.
"""

import json
import os
import pathlib
import subprocess
import sys
import tempfile

from google.protobuf import descriptor_pb2

ROOT = pathlib.Path(__file__).resolve().parents[1]
TARGET = ROOT / "deploy" / "openapi.json"
FIELD = descriptor_pb2.FieldDescriptorProto


def parsed_proto():
    with tempfile.NamedTemporaryFile(suffix=".pb") as out:
        subprocess.run(
            [os.environ.get("PROTOC", "protoc"), f"--proto_path={ROOT}", "--include_source_info",
             f"--descriptor_set_out={out.name}", "protocol/admin.proto"],
            check=True,
        )
        return descriptor_pb2.FileDescriptorSet.FromString(pathlib.Path(out.name).read_bytes()).file[0]


def comment_of(file, path):
    for location in file.source_code_info.location:
        if list(location.path) == path:
            return " ".join(location.leading_comments.split())
    return ""


def schema_of_field(field):
    if field.type == FIELD.TYPE_STRING:
        schema = {"type": "string"}
    elif field.type == FIELD.TYPE_BOOL:
        schema = {"type": "boolean"}
    elif field.type == FIELD.TYPE_DOUBLE:
        schema = {"type": "number"}
    elif field.type_name == ".google.protobuf.Timestamp":
        schema = {"type": "string", "format": "date-time"}
    else:
        schema = {"$ref": f"#/components/schemas/{field.type_name.rsplit('.', 1)[1]}"}
    return {"type": "array", "items": schema} if field.label == FIELD.LABEL_REPEATED else schema


def is_always_there(field):
    return field.type != FIELD.TYPE_MESSAGE and not field.proto3_optional or field.label == FIELD.LABEL_REPEATED


def schemas(file):
    made = {}
    for at, message in enumerate(file.message_type):
        properties = {}
        for index, field in enumerate(message.field):
            schema = schema_of_field(field)
            comment = comment_of(file, [4, at, 2, index])
            # Beside a $ref nothing else counts.
            if comment and "$ref" not in schema:
                schema["description"] = comment
            properties[field.name] = schema
        made[message.name] = {
            "type": "object",
            "description": comment_of(file, [4, at]),
            "properties": properties,
            "required": [field.name for field in message.field if is_always_there(field)],
        }
    return made


def answer(message, description):
    schema = {"$ref": f"#/components/schemas/{message}"}
    return {"description": description, "content": {"application/json": {"schema": schema}}}


def failures(*statuses):
    texts = {
        "400": "The request makes no sense; the error says what is allowed.",
        "401": "The token is missing, or a wrong one.",
        "403": "Nothing can be changed: sluiced was started without --http-token-file.",
        "404": "There is none of that id.",
        "503": "The shard that it is on does not answer.",
    }
    return {status: answer("Failure", texts[status]) for status in statuses}


def query(name, description, schema):
    return {"name": name, "in": "query", "description": description, "schema": schema}


ID = {"name": "id", "in": "path", "required": True, "schema": {"type": "string", "example": "0-4294967297.1"},
      "description": "Of a consumer, or of a session: that is the part before the dot."}
LIMIT = query("limit", "How many to list.", {"type": "integer", "minimum": 1, "maximum": 1000, "default": 100})
TOKEN = [{"token": []}]

PATHS = {
    "/api/consumers": {
        "get": {
            "summary": "Consumers (subscriptions), the slowest first.",
            "parameters": [
                query("sort", "What comes first.", {"type": "string", "default": "pending",
                                                    "enum": ["pending", "age", "dropped", "stalled"]}),
                LIMIT,
                query("topic", "Only those who get what is published on this topic.", {"type": "string"}),
            ],
            "responses": {"200": answer("ConsumerList", "The list."), **failures("400")},
        }
    },
    "/api/consumers/{id}": {
        "parameters": [ID],
        "get": {
            "summary": "One consumer; of a session's id, a ConsumerList of its subscriptions.",
            "responses": {"200": answer("Consumer", "The consumer."), **failures("400", "404", "503")},
        },
        "delete": {
            "summary": "Disconnects the client, which is told the reason: kicked.",
            "security": TOKEN,
            "responses": {"200": answer("Done", "It is told to go."), **failures("400", "401", "403", "404", "503")},
        },
    },
    "/api/episodes": {
        "get": {
            "summary": "Times that consumers lagged, the newest first; those that go on stand in front.",
            "parameters": [LIMIT],
            "responses": {"200": answer("EpisodeList", "The list."), **failures("400")},
        }
    },
    "/api/topics": {
        "get": {
            "summary": "The topics that most is published on.",
            "parameters": [LIMIT],
            "responses": {"200": answer("TopicList", "The list."), **failures("400")},
        }
    },
    "/api/broker": {
        "get": {"summary": "The broker as a whole.", "responses": {"200": answer("BrokerInfo", "Its numbers.")}}
    },
    "/api/drain": {
        "post": {
            "summary": "As SIGTERM: no new client is taken, what is queued is delivered, and the broker ends.",
            "security": TOKEN,
            "responses": {"200": answer("Done", "It drains."), **failures("401", "403")},
        }
    },
}


def document():
    file = parsed_proto()
    made = {
        "openapi": "3.0.3",
        "info": {
            "title": "sluiced",
            "version": "1",
            "description": "What operators ask a Sluice broker over its HTTP port. Made by deploy/openapi.py.",
        },
        "servers": [{"url": "http://127.0.0.1:7585"}],
        "paths": PATHS,
        "components": {
            "schemas": schemas(file),
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
    }
    return json.dumps(made, indent=2, ensure_ascii=False) + "\n"


def main():
    made = document()
    if sys.argv[1:] == ["--check"]:
        if TARGET.read_text(encoding="utf-8") != made:
            sys.exit("deploy/openapi.json is not up to date: run deploy/openapi.py")
    elif sys.argv[1:]:
        sys.exit(__doc__)
    else:
        TARGET.write_text(made, encoding="utf-8")


if __name__ == "__main__":
    main()
