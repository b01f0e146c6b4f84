"""Google's two doors to Gemini: the Gemini API (AI Studio) and Vertex AI. They differ in path, credential and
a few members; the bodies are the same.

    contents (with parts, tools, config, models)  -> request: the body of generateContent
    shapes, pieces (with sources, logprobs)       -> answer and stream: what came back
    error, embeddings                             -> the rest
    wire                                          -> GoogleWire and VertexWire, which put them together

In: `server` takes the wires from `wire`. Nothing else enters.

Formats: https://ai.google.dev/api/generate-content and
https://cloud.google.com/vertex-ai/generative-ai/docs/model-reference/inference.
"""
