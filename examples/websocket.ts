// Speaks to a session over a WebSocket and prints what happens as it happens. A connection that is lost is opened again:
// nothing is lost with it, nothing is shown twice, and the message is not sent twice.
//
//     FREEHOLD_API_KEY=... node examples/websocket.ts "Write a program, run it, and report."
//
// Needs Node 22.18 or later, which runs TypeScript as it is, and no package. FREEHOLD_URL names the server,
// http://127.0.0.1:8700 by default.

interface SessionEvent {
  id: string;
  type: string;
  content?: { type: string; text?: string }[];
  stop_reason?: { type: string };
}

type Preview =
  | { type: "event_start"; event: { id: string; type: string } }
  | { type: "event_delta"; event_id: string; delta: { content: { type: string; text?: string } } };

type Frame =
  | { type: "event"; seq: number | null; event: SessionEvent }
  | { type: "preview"; preview: Preview }
  | { type: "sent"; data: SessionEvent[] }
  | { type: "error"; error: { type: string; message: string }; action: string | null }
  | { type: "pong" };

// What the server says no to; asking again would not help.
class Refused extends Error {}

const url = process.env["FREEHOLD_URL"] ?? "http://127.0.0.1:8700";
const key = process.env["FREEHOLD_API_KEY"];
const text = process.argv[2] ?? "Write a program, run it, and report.";

async function post<Answer>(path: string, body: object): Promise<Answer> {
  const answer = await fetch(url + path, {
    method: "POST",
    headers: {
      "x-api-key": key ?? "",
      "anthropic-version": "2023-06-01",
      "anthropic-beta": "managed-agents-2026-04-01",
      "content-type": "application/json",
    },
    body: JSON.stringify(body),
  });
  const said: unknown = await answer.json();
  if (!answer.ok) {
    const { error } = said as { error: { message: string } };
    throw answer.status < 500 ? new Refused(error.message) : new Error(error.message);
  }
  return said as Answer;
}

// One session as this program sees it. It outlives connections.
class Conversation {
  readonly #session_id: string;
  // Under the same key a message that is sent again is the message that was sent.
  readonly #idempotency_key = crypto.randomUUID();
  #isSent = false;
  #lastSeq = 0;

  constructor(session_id: string) {
    this.#session_id = session_id;
  }

  // Follows the session from the last event that was seen. True once it rests, false when the connection was lost.
  // A browser holds no key: it is given a ticket, which opens one socket within a minute.
  async follow(): Promise<boolean> {
    const { ticket } = await post<{ ticket: string }>("/v1/ws-tickets", {});
    const socket = new WebSocket(`${url.replace(/^http/, "ws")}/ws?ticket=${ticket}`);
    const rests = new Promise<boolean>((resolve, reject) => {
      socket.onclose = () => resolve(false);
      socket.onopen = () => this.#begin(socket);
      socket.onmessage = (message: MessageEvent<unknown>) => {
        try {
          if (this.#take(JSON.parse(String(message.data)) as Frame)) resolve(true);
        } catch (error) {
          reject(error);
        }
      };
    });
    return rests.finally(() => socket.close());
  }

  #begin(socket: WebSocket): void {
    const place = { session_id: this.#session_id };
    const say = (action: object) => socket.send(JSON.stringify({ ...place, ...action }));
    console.log(`connected, after ${this.#lastSeq}`);
    say({ action: "subscribe", after_seq: this.#lastSeq, event_deltas: ["agent.message"] });
    if (!this.#isSent) {
      const events = [{ type: "user.message", content: [{ type: "text", text }] }];
      say({ action: "send", events, idempotency_key: this.#idempotency_key });
    }
  }

  // Prints a frame. True for the one that says that the session rests.
  #take(frame: Frame): boolean {
    switch (frame.type) {
      case "error":
        throw new Refused(frame.error.message);
      case "sent":
        this.#isSent = true;
        return false;
      case "preview":
        if (frame.preview.type === "event_delta") {
          console.log(`… ${frame.preview.delta.content.text ?? ""}`);
        }
        return false;
      case "event":
        return this.#show(frame.seq, frame.event);
      case "pong":
        return false;
    }
  }

  #show(seq: number | null, event: SessionEvent): boolean {
    if (seq !== null && seq <= this.#lastSeq) return false;
    this.#lastSeq = seq ?? this.#lastSeq;
    console.log(`${seq ?? "-"} ${event.type}`);
    if (event.type === "agent.message") {
      for (const block of event.content ?? []) console.log(block.text ?? `(${block.type})`);
    }
    if (event.type !== "session.status_idle") return false;
    console.log(event.stop_reason?.type ?? "");
    return true;
  }
}

async function main(): Promise<void> {
  if (key === undefined) throw new Refused("FREEHOLD_API_KEY: set it to a key of the server");
  const agent = await post<{ id: string }>("/v1/agents", {
    name: "WebSocket",
    model: "claude-sonnet-5-5",
    tools: [{ type: "agent_toolset_20260401" }],
  });
  const environment = await post<{ id: string }>("/v1/environments", {
    name: `websocket-${crypto.randomUUID()}`,
  });
  const session = await post<{ id: string }>("/v1/sessions", {
    agent: agent.id,
    environment_id: environment.id,
  });
  const conversation = new Conversation(session.id);
  for (let lost = 0; lost < 60; lost++) {
    try {
      if (await conversation.follow()) return;
    } catch (error) {
      if (error instanceof Refused) throw error;
    }
    console.log("connection lost");
    await new Promise((resolve) => setTimeout(resolve, 500));
  }
  throw new Error("the server does not come back");
}

main().catch((error: unknown) => {
  console.error(error instanceof Error ? error.message : error);
  process.exitCode = 1;
});
