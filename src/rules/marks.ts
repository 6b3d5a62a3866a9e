// The numbers and marks by which the rules are known again.

/** Keeps what conntrack thinks of the SVM's packets apart from the PVM's, on PN, where both pass. 0x1987, as ever. */
export const FORWARD_ZONE = 6535;

/** Where the mirror stands among the tap's filters. */
export const MIRROR_PREF = 6535;

/** On everything that can carry one. */
export function commentOf(index: number): string {
  return `colo:${index}`;
}

/** nft's table of a mirror that tc has no room for. */
export function mirrorTable(index: number): string {
  return `colo-mirror-${index}`;
}

/** As the kernel keeps it beside an action: the comment in hex. */
export function cookieOf(index: number): string {
  return Buffer.from(commentOf(index)).toString('hex');
}

/** Of a bridge that several nodes share. */
export const SHARED_ALIAS = 'colo';
