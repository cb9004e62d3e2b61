/** Property tests: the one importer of fast-check. */
export { default as fc } from "fast-check";
