import { ControllerLoss, LossDecision, PORT_WATCH_MS } from '../../../src/node/controller-loss';

test('a living guest: the policy, after the port was watched', () => {
  for (const policy of ['release', 'hold', 'drop'] as const) {
    const loss = new ControllerLoss(policy);
    loss.lost(1000);
    expect(loss.decide('up', 1000)).toBe(LossDecision.WAIT);
    expect(loss.pending).toBe(true);
    expect(loss.decide('up', 1000 + PORT_WATCH_MS)).toBe(policy);
    expect(loss.pending).toBe(false);
  }
});

test.each(['down', 'gone'] as const)('a port that is %s at any moment of the watch means a dead guest', (state) => {
  const loss = new ControllerLoss('release');
  loss.lost(0);
  expect(loss.decide('up', 0)).toBe(LossDecision.WAIT);
  expect(loss.decide(state, PORT_WATCH_MS + 1)).toBe(LossDecision.GUEST_DEAD);
});

test('a controller that comes back ends the watch', () => {
  const loss = new ControllerLoss('release');
  loss.lost(0);
  loss.regained();
  expect(loss.active).toBe(false);
  loss.lost(50);
  expect(loss.decide('up', PORT_WATCH_MS)).toBe(LossDecision.WAIT);
});
