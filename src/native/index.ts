// The face of the native addon towards the rest of the program.

export { type Addon, addon, type Handle } from './addon';
export { CAP_NET_ADMIN, CAP_NET_BIND_SERVICE, CAP_NET_RAW, dropCapabilities, readCapabilities } from './capabilities';
export { errnoName, errnoText, type Hints, netnsHints, systemError } from './errno';
export * from './layout';
