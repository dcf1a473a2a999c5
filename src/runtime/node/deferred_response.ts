/**
 * A `Response` that costs little to make and to send. On Node, most of the cost of a `Response` with a
 * string is the stream of its body, which the response of a server seldom needs.
 */
import { flatten, type Message } from "./message.ts";

const NativeResponse = globalThis.Response;

/** A body that is kept as it is until something asks for its stream. */
type SimpleBody = string | Uint8Array<ArrayBuffer> | Blob | null;

/**
 * Returns the message to send for a {@linkcode DeferredResponse}, whose body counts as used from then
 * on. Returns undefined for any other response.
 */
export let messageOf: (response: Response) => Message | undefined;

/**
 * A `Response` whose native object is created when something asks for the content of its body. The
 * constructor checks its arguments as the native one does, and throws the same errors.
 */
export class DeferredResponse implements Response {
  #status = 200;
  #statusText = "";
  /** Undefined until somebody reads or sets the headers. */
  #headers: Headers | undefined;
  /** The media type that follows from the type of the body. Undefined once the headers contain it. */
  #mediaType: string | undefined;
  /** The body while there is no native object. */
  #body: SimpleBody = null;
  #native: Response | undefined;
  /** Whether the response has been sent, which uses its body. */
  #isSent = false;

  constructor(body?: BodyInit | null, init?: ResponseInit) {
    const simple = simplify(body);
    if (simple !== undefined && this.#accept(simple, init)) return;
    const native = new NativeResponse(body, init);
    this.#native = native;
    this.#status = native.status;
    this.#statusText = native.statusText;
    this.#headers = native.headers;
  }

  /** Takes valid arguments of the constructor. Returns false for arguments that the native class must check. */
  #accept(body: SimpleBody, init: ResponseInit | undefined): boolean {
    if (init !== undefined && !this.#acceptInit(init, body !== null)) return false;
    this.#body = body;
    if (typeof body === "string") this.#mediaType = "text/plain;charset=UTF-8";
    else if (body instanceof Blob && body.type !== "") this.#mediaType = body.type;
    return true;
  }

  #acceptInit(init: ResponseInit, hasBody: boolean): boolean {
    if (typeof init !== "object" || init === null) return false;
    const { status = 200, statusText = "", headers } = init;
    if (!isValidStatus(status, hasBody) || !isPlainText(statusText)) return false;
    this.#status = status;
    this.#statusText = statusText;
    if (headers !== undefined) this.#headers = new Headers(headers);
    return true;
  }

  static json(data: unknown, init?: ResponseInit): Response {
    const text = JSON.stringify(data);
    if (text === undefined) return NativeResponse.json(data, init);
    const response = new DeferredResponse(text, init);
    if (response.#native !== undefined) return NativeResponse.json(data, init);
    response.#mediaType = "application/json";
    return response;
  }

  /** Makes all responses instances of this class, because this class hides the native class. */
  static [Symbol.hasInstance](value: unknown): boolean {
    return this === DeferredResponse
      ? value instanceof NativeResponse
      : Function.prototype[Symbol.hasInstance].call(this, value);
  }

  get type(): ResponseType {
    return "default";
  }

  get url(): string {
    return "";
  }

  get redirected(): boolean {
    return false;
  }

  get status(): number {
    return this.#status;
  }

  get statusText(): string {
    return this.#statusText;
  }

  get ok(): boolean {
    return this.#status >= 200 && this.#status <= 299;
  }

  get headers(): Headers {
    this.#headers ??= new Headers();
    if (this.#mediaType !== undefined && !this.#headers.has("content-type")) {
      this.#headers.append("content-type", this.#mediaType);
    }
    this.#mediaType = undefined;
    return this.#headers;
  }

  get body(): ReadableStream<Uint8Array<ArrayBuffer>> | null {
    return this.#body === null && this.#native === undefined ? null : this.#made.body;
  }

  get bodyUsed(): boolean {
    return this.#native?.bodyUsed ?? (this.#isSent && this.#body !== null);
  }

  arrayBuffer(): Promise<ArrayBuffer> {
    return this.#made.arrayBuffer();
  }

  blob(): Promise<Blob> {
    return this.#made.blob();
  }

  bytes(): Promise<Uint8Array<ArrayBuffer>> {
    return this.#made.bytes();
  }

  formData(): Promise<FormData> {
    return this.#made.formData();
  }

  json(): Promise<unknown> {
    return this.#made.json();
  }

  text(): Promise<string> {
    return this.#made.text();
  }

  /** Removed below where Node does not have it. */
  textStream(): ReadableStream<string> {
    // The cast: not all types of `Response` have the method.
    return (this.#made as Response & { textStream(): ReadableStream<string> }).textStream();
  }

  clone(): Response {
    const { body } = this.#made.clone();
    return new NativeResponse(body, this.#init);
  }

  get #init(): ResponseInit {
    return { status: this.#status, statusText: this.#statusText, headers: this.headers };
  }

  /** The native object, which is created at the first read. */
  get #made(): Response {
    if (this.#native !== undefined) return this.#native;
    this.#native = new NativeResponse(this.#body, this.#init);
    if (this.#isSent) void this.#native.body?.cancel();
    this.#body = null;
    return this.#native;
  }

  /** Returns the message to send, and marks the body as used. */
  #send(): Message {
    const { status, statusText } = this;
    if (this.#native !== undefined) {
      return { status, statusText, headers: flatten(this.headers), body: this.#native.body };
    }
    this.#isSent = true;
    const headers = this.#flatHeaders();
    const body = this.#body;
    if (!(body instanceof Blob)) return { status, statusText, headers, body };
    return { status, statusText, headers, body: body.stream(), length: body.size };
  }

  #flatHeaders(): string[] {
    if (this.#headers !== undefined) return flatten(this.headers);
    return this.#mediaType === undefined ? [] : ["content-type", this.#mediaType];
  }

  static {
    messageOf = (response) => #native in response ? response.#send() : undefined;
  }
}

// A DeferredResponse is a native Response for `instanceof`, and its class has the other static members of
// the native class.
Object.setPrototypeOf(DeferredResponse, NativeResponse);
Object.setPrototypeOf(DeferredResponse.prototype, NativeResponse.prototype);
Object.defineProperty(DeferredResponse, "name", { value: "Response" });
if (!("textStream" in NativeResponse.prototype)) {
  Reflect.deleteProperty(DeferredResponse.prototype, "textStream");
}

/** Returns a body in a form that can be kept. Returns undefined for a body that the native class must handle. */
function simplify(body: BodyInit | null | undefined): SimpleBody | undefined {
  if (typeof body === "string") return body;
  if (body === null || body === undefined) return null;
  // The content of a response is fixed when the response is created, so copy what may change.
  if (body instanceof Uint8Array && body.buffer instanceof ArrayBuffer) return new Uint8Array(body);
  return body instanceof Blob ? body : undefined;
}

function isValidStatus(status: unknown, hasBody: boolean): status is number {
  if (typeof status !== "number" || !Number.isInteger(status)) return false;
  if (status < 200 || status > 599) return false;
  return !hasBody || (status !== 204 && status !== 205 && status !== 304);
}

/** Returns whether a value is a reason phrase in ASCII. */
function isPlainText(value: unknown): value is string {
  return typeof value === "string" && /^[\t\x20-\x7e]*$/.test(value);
}
