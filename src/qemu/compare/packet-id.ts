// The engine's id of a packet: size of the virtio-net header, size of all headers before the packet, and the slot of
// its fragments or, from SLOT_OF_SEND on, of the frame that it is a datagram of; slot 0 if it is a frame of its own.

export const ID_SIZE_MASK = 0xff;
export const ID_HEAD_SHIFT = 8;
export const ID_SLOT_SHIFT = 16;
/** Slots are 16 bits; the highest tells the two kinds apart. */
export const SLOT_OF_SEND = 0x8000;
