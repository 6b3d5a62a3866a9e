// Planted mistakes of the stream link's ends and of the match of epochs, each made by wrapping a correct one.

import { Matched } from '../node/epoch-match';
import { instead, type Mutation } from './makers';

export const LINK_MUTATIONS: readonly Mutation[] = [
  {
    name: 'released at the own checkpoint, without the mark',
    make: (right) => ({
      ...right,
      primaryLink: (match, ports) => {
        const link = right.primaryLink(match, ports);
        const { checkpointed } = link;
        link.checkpointed = (nowMs) => {
          const matched = checkpointed.call(link, nowMs);
          return matched === Matched.NOTHING ? Matched.RELEASE : matched;
        };
        return link;
      },
    }),
  },
  {
    name: "the guest's queue read on while the mark is awaited",
    make: (right) => ({
      ...right,
      primaryNode: (engine, ports, settings) =>
        right.primaryNode(engine, { ...ports, guest: instead(ports.guest, { pause: () => {} }) }, settings),
    }),
  },
  {
    name: "the SVM's port not emptied at a checkpoint",
    make: (right) => ({
      ...right,
      secondaryLink: (ports) => right.secondaryLink({ ...ports, port: instead(ports.port, { empty: () => {} }) }),
    }),
  },
];
