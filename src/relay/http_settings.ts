/** The values of the section `[http]`. A reload changes the object in place. */
export interface HttpSettings {
  /** Whether `/` shows how to use staps. */
  frontPage: "yes" | "no";
  /** Origins of web pages that may use staps beside those of its own host: `https://example.org`, or `*` for all. */
  origins: readonly string[];
}
