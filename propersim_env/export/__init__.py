"""Logs in other people's formats: `source` reads them one by one, `parquet` and `minari_dataset` write them.

Preference data for TRL are made of prompts, which are the assistant's: `propersim_env.agents.assistants.proper.trl_data`.
"""
