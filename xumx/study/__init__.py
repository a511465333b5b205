"""The loss study: many trainings of one network, scored and compared."""
