// The conversation with Python: one scene request under way, only the newest wish behind it.

const PATIENCE = 20_000; // ms after which a lost answer no longer blocks the next request

export class Requests {
  constructor(model, lab, { onScene, onReplicate, onError, onStatus }) {
    this.model = model;
    this.lab = lab;
    this.heard = { scene: onScene, replicate: onReplicate, error: onError };
    this.onStatus = onStatus;
    this.view = Math.random().toString(36).slice(2, 8); // two views of one model stay apart
    this.sent = 0;
    this.sceneId = null;
    this.replicateId = null;
    this.waiting = null;
    this.listen = (message) => this.receive(message);
    model.on("msg:custom", this.listen);
  }

  get busy() {
    return this.sceneId !== null;
  }

  askScene(state) {
    if (this.busy && performance.now() - this.askedAt < PATIENCE) {
      this.waiting = state;
      return;
    }
    this.waiting = null;
    this.askedAt = performance.now();
    this.sceneId = this.send({ kind: "scene", state });
  }

  // With `show`, the answer holds the sample itself, to be seen.
  askReplicates(state, start, count, values, show) {
    this.replicateId = this.send({ kind: "replicate", state, start, count, values, show });
  }

  dropReplicates() {
    this.replicateId = null;
  }

  send(message) {
    this.sent += 1;
    const id = `${this.view}-${this.sent}`;
    this.model.send({ id, lab: this.lab, ...message });
    return id;
  }

  receive(message) {
    if (message?.kind === "status") {
      this.onStatus(message);
      return;
    }
    if (message?.id === this.sceneId && this.sceneId !== null) {
      this.sceneId = null;
      this.heard[message.kind]?.(message, "scene");
      if (this.waiting && !this.busy) this.askScene(this.waiting);
    } else if (message?.id === this.replicateId && this.replicateId !== null) {
      this.replicateId = null;
      this.heard[message.kind]?.(message, "replicate");
    }
  }

  close() {
    this.model.off("msg:custom", this.listen);
  }
}
