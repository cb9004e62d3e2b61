/** The values of the section `[http]`. A reload changes the object in place. */
export interface HttpSettings {
  /** Whether `/` shows how to use staps. */
  frontPage: "yes" | "no";
  /** Origins of web pages that may use staps beside those of its own host: `https://example.org`, or `*` for all. */
  origins: readonly string[];
  /** How many messages may be posted to this node in a second, and in one burst. 0 for any number. */
  requestsPerSecond: number;
  /** How many posted messages may wait at once. */
  waitingRequests: number;
  /** What posted messages that wait may take together, in bytes. */
  waitingBytes: number;
}
