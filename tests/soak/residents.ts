/** Clients that stay for the whole run, and must miss nothing in all that time. */
import { Meeting, type MeetingOptions } from "./meeting.ts";

/** How many stay, in how many channels. */
export const residentChannels = 10;
const guestsPerChannel = 4;
/** All of them. */
export const residentClients = residentChannels * guestsPerChannel;

/** The residents of one server or cluster. */
export class Residents {
  readonly #meetings: readonly Meeting[];
  readonly #options: MeetingOptions;
  #timer: ReturnType<typeof setInterval> | undefined;

  private constructor(options: MeetingOptions) {
    this.#options = options;
    this.#meetings = Array.from(
      { length: residentChannels },
      () => new Meeting(options),
    );
  }

  /** Resolves when all have joined. */
  static async join(options: MeetingOptions): Promise<Residents> {
    const residents = new Residents(options);
    for (const meeting of residents.#meetings) {
      // One at every target, at least.
      for (let i = 0; i < guestsPerChannel; i++) {
        await meeting.join(options.targets[i]);
      }
    }
    return residents;
  }

  /** Publishes `perSecond` messages, in one channel or another, until {@linkcode pause}. */
  talk(perSecond: number): void {
    this.#timer = setInterval(
      () => this.#options.random.pick(this.#meetings).publish(),
      1000 / perSecond,
    );
  }

  /** Resolves when everybody has got everything. */
  async pause(): Promise<void> {
    clearInterval(this.#timer);
    await Promise.all(this.#meetings.map((meeting) => meeting.settle()));
  }

  /** Lets all leave. */
  async leave(): Promise<void> {
    clearInterval(this.#timer);
    await Promise.all(this.#meetings.map((meeting) => meeting.end()));
  }
}
