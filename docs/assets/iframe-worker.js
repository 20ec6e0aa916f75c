/* The search of a page that is opened as a file. Browsers start no worker from a file, so its script runs in a frame. */
class IFrameWorker extends EventTarget {
  constructor(address) {
    super();
    this.onmessage = null;
    this.waiting = [];
    this.frame = document.createElement("iframe");
    this.frame.hidden = true;
    this.frame.srcdoc = "<!doctype html><body></body>";
    this.frame.onload = () => this.start(this.frame.contentWindow, address);
    document.body.append(this.frame);
  }

  start(inner, address) {
    inner.postMessage = (data) => setTimeout(() => this.deliver(data));
    inner.importScripts = (...addresses) => Promise.all(addresses.map((one) => IFrameWorker.load(inner, one)));
    IFrameWorker.load(inner, address).then(() => {
      this.inner = inner;
      this.waiting.splice(0).forEach((data) => this.postMessage(data));
    });
  }

  static load(inner, address) {
    return new Promise((done, failed) => {
      const script = inner.document.createElement("script");
      script.onload = done;
      script.onerror = failed;
      script.src = new URL(address, location.href).href;
      inner.document.body.append(script);
    });
  }

  deliver(data) {
    const event = new MessageEvent("message", { data });
    this.dispatchEvent(event);
    if (this.onmessage) this.onmessage(event);
  }

  postMessage(data) {
    if (this.inner) this.inner.dispatchEvent(new this.inner.MessageEvent("message", { data }));
    else this.waiting.push(data);
  }

  terminate() {
    this.frame.remove();
  }
}

window.IFrameWorker = IFrameWorker;
if (location.protocol === "file:") window.Worker = IFrameWorker;
