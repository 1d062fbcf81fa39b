select source, target, count(*) from selftest_steps group by source, target
